"""GET /runs, /runs/{id} and /agents: pages by key, filters, CSV, and no read without an index."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import Agent, AgentRunLog, LLMCall, ModelPrice
from costsite.api import runs as runs_topic
from costsite.api.paging import Position, cursor_of, position_of
from langchain_plugin import wire
from tests.costsite.api_client import KeyHolder, error_of
from tests.factories import NOON, llm_call


def pages(holder: KeyHolder, **parameters: Any) -> Iterator[list[dict[str, Any]]]:
    after: dict[str, str] = {}
    while True:
        page = holder.read("runs", **parameters, **after)
        yield page["runs"]
        if page["next"] is None:
            return
        after = {"after": page["next"]}


def ids(holder: KeyHolder, **parameters: Any) -> list[UUID]:
    return [UUID(run["run_id"]) for page in pages(holder, **parameters) for run in page]


def report_runs(holder: KeyHolder, count: int, **changes: Any) -> list[UUID]:
    """`count` runs a minute apart, each with one call, the newest first; reported in any order."""
    calls = [
        llm_call(started_at=NOON - timedelta(minutes=n), ended_at=NOON - timedelta(minutes=n), **changes)
        for n in range(count)
    ]
    holder.report(*random.Random(7).sample(calls, count))
    return [call.run_id for call in calls]


@pytest.mark.parametrize("limit", [1, 3, 10, 11, 200])
def test_the_pages_add_up_to_every_run_once_newest_first(acme: KeyHolder, limit: int) -> None:
    runs = report_runs(acme, 10)

    assert ids(acme, limit=limit) == runs
    assert all(len(page) <= limit for page in pages(acme, limit=limit))


def test_runs_that_began_at_the_same_instant_are_each_on_one_page(acme: KeyHolder) -> None:
    calls = [llm_call() for _ in range(7)]
    acme.report(*calls)

    found = ids(acme, limit=2)

    assert len(found) == 7
    assert set(found) == {call.run_id for call in calls}


def test_a_run_that_comes_between_two_pages_moves_none_of_the_others(acme: KeyHolder) -> None:
    runs = report_runs(acme, 6)
    first = acme.read("runs", limit=3)

    acme.report(llm_call(started_at=NOON + timedelta(minutes=1), ended_at=NOON + timedelta(minutes=1)))
    second = acme.read("runs", limit=3, after=first["next"])

    assert [UUID(run["run_id"]) for run in first["runs"] + second["runs"]] == runs


def test_the_filters(acme: KeyHolder) -> None:
    ModelPrice.objects.create(
        model="dear",
        input_per_million="1000",
        output_per_million="1000",
        effective_from=datetime(2026, 1, 1, tzinfo=UTC),
    )
    plain, tagged, dear, failed, other, earlier = (uuid4() for _ in range(6))
    at = {"started_at": NOON - timedelta(days=1), "ended_at": NOON - timedelta(days=1)}
    acme.report(
        llm_call(run_id=plain, thread_id="t-1", is_root=True),
        llm_call(run_id=tagged, tags=["production", 'say "hi" & ünïcode'], is_root=True),
        llm_call(run_id=dear, request_model="dear", input_tokens=50_000, output_tokens=10),
        llm_call(run_id=failed),
        wire.RunEnded(
            type="run_ended", run_id=failed, agent="support-bot", started_at=NOON, ended_at=NOON, status="error"
        ),
        llm_call(run_id=other, agent="sales-bot"),
        llm_call(run_id=earlier, **at),
    )

    def found(**parameters: Any) -> set[UUID]:
        return set(ids(acme, **parameters))

    assert found() == {plain, tagged, dear, failed, other, earlier}
    assert found(agent="sales-bot") == {other}
    assert found(status="error") == {failed}
    assert found(thread_id="t-1") == {plain}
    assert found(tag="production") == {tagged}
    assert found(tag='say "hi" & ünïcode') == {tagged}
    assert found(tag="prod") == set()
    assert found(model="dear") == {dear}
    # 50,010 tokens at 100,000 ¢ a million = 5,001 ¢
    assert found(min_cost_cents="5001") == {dear}
    assert found(min_cost_cents="5001.000001") == set()
    assert found(min_tokens=50_010) == {dear}
    assert found(min_tokens=50_011) == set()
    assert found(min_tokens=1_500) == {plain, tagged, dear, failed, other, earlier}
    assert found(started_from="2026-11-20") == {plain, tagged, dear, failed, other}
    assert found(started_to="2026-11-20") == {earlier}, "`to` is out"
    assert found(started_from="2026-11-20T13:00:00+01:00") == {plain, tagged, dear, failed, other}, "in"
    assert found(started_from="2026-11-20T12:00:00.000001Z") == set()
    assert found(agent="support-bot", status="running", started_from="2026-11-20", min_tokens=1_500) == {dear}


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"limit": 0}, "greater than or equal to 1"),
        ({"limit": 201}, "less than or equal to 200"),
        ({"status": "done"}, "'running', 'ok', 'error', 'cancelled' or 'refused'"),
        ({"started_from": "yesterday"}, "must be a date (2026-11-01)"),
        ({"started_from": "2026-11-01T00:00:00"}, "with its offset"),
        ({"started_to": "2026-11-01T00:00:00 02:00"}, "write + as %2B"),
        ({"started_to": "0001-01-01T00:00:00+14:00"}, "must be a date"),
        ({"min_cost_cents": "-1"}, "greater than or equal to 0"),
        ({"min_cost_cents": "NaN"}, "min_cost_cents"),
        ({"min_tokens": 10**30}, "min_tokens"),
        ({"thread_id": "x" * 201}, "at most 200 characters"),
        ({"tag": "a\x00b"}, "NUL"),
        ({"after": "bm9uc2Vuc2U"}, "give the `next` of an earlier answer"),
        ({"after": "x" * 5_000}, "give the `next` of an earlier answer"),
        ({"after": "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5LjE"}, "give the `next` of an earlier answer"),
        ({"offset": 5}, "`offset` is no parameter of this address; it knows after, agent,"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_it_must_be(
    acme: KeyHolder, parameters: dict[str, Any], said: str
) -> None:
    response = acme.get("runs", **parameters)

    assert (response.status_code, error_of(response).code) == (422, "bad_parameter")
    assert said in error_of(response).message
    assert next(iter(parameters)) in error_of(response).details[0]["where"]


@pytest.mark.parametrize("position", [Position(NOON, 1), Position(NOON - timedelta(microseconds=1), 2**63 - 1)])
def test_a_cursor_keeps_its_place_to_the_microsecond(position: Position) -> None:
    assert position_of(cursor_of(position)) == position


def test_a_page_that_finds_nothing_stops_looking_and_says_where_to_go_on(
    acme: KeyHolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten runs, of which only the eighth is asked for; a page may look through three."""
    monkeypatch.setattr(runs_topic, "MAX_LOOKED_THROUGH", 3)
    runs = report_runs(acme, 10)
    AgentRunLog.objects.filter(run_id=runs[7]).update(thread_id="wanted")

    found = [[UUID(run["run_id"]) for run in page] for page in pages(acme, thread_id="wanted")]

    assert found == [[], [], [runs[7]], []]
    # 10 runs by threes: 3 + 3 + 3 + 1


def test_money_is_exact_text_and_unknown_is_null(acme: KeyHolder) -> None:
    ModelPrice.objects.create(
        model="gpt-4o-mini",
        input_per_million="0.15",
        output_per_million="0.6",
        effective_from=datetime(2026, 1, 1, tzinfo=UTC),
    )
    priced, unpriced = llm_call(), llm_call(request_model="never-heard-of", provider="nobody")
    acme.report(priced, unpriced)

    with_price = acme.read(f"runs/{priced.run_id}")
    without = acme.read(f"runs/{unpriced.run_id}")

    # 1,200 at 15 ¢ a million = 0.018 ¢; 300 at 60 ¢ a million = 0.018 ¢
    assert (with_price["cost_microcents"], with_price["estimated_cost_cents"]) == (36_000, "0.036")
    assert with_price["llm_calls"][0]["estimated_cost_cents"] == "0.036"
    assert (without["cost_microcents"], without["estimated_cost_cents"], without["unpriced_calls"]) == (None, None, 1)
    assert (without["llm_calls"][0]["cost_microcents"], without["llm_calls"][0]["cost_basis"]) == (None, "unpriced")


def test_a_run_tells_its_calls_in_their_order(acme: KeyHolder) -> None:
    run_id = uuid4()
    calls = [
        llm_call(
            run_id=run_id,
            started_at=NOON + timedelta(seconds=n),
            ended_at=NOON + timedelta(seconds=n + 1),
            call_index=n,
            tool_calls=[("search", "ab" * 8)],
        )
        for n in range(3)
    ]
    acme.report(*reversed(calls))

    run = acme.read(f"runs/{run_id}")

    assert [UUID(call["call_id"]) for call in run["llm_calls"]] == [call.call_id for call in calls]
    assert (run["calls"], run["input_tokens"], run["output_tokens"]) == (3, 3_600, 900)
    assert run["llm_calls"][0]["tool_calls"] == ["search"]
    assert "abababababababab" not in str(run), "hashes are for the site to compare, not for who holds the key"
    assert (run["agent"], run["started_at"], run["status"]) == ("support-bot", "2026-11-20T12:00:00Z", "running")

    acme.report(
        wire.RunEnded(
            type="run_ended", run_id=run_id, agent="support-bot", status="ok",
            started_at=NOON, ended_at=NOON + timedelta(seconds=3, milliseconds=250),
        )
    )  # fmt: skip
    run = acme.read(f"runs/{run_id}")
    assert (run["status"], run["duration_seconds"]) == ("ok", 3.25)


# ── by index ─────────────────────────────────────────────────────────────────────────────────────────────────────


def plans(holder: KeyHolder, **parameters: Any) -> list[str]:
    """How SQLite reads the runs for this request: a line for each step of each query over them."""
    with CaptureQueriesContext(connection) as captured:
        assert holder.get("runs", **parameters).status_code == 200
    queries = captured.captured_queries
    steps = []
    with connection.cursor() as cursor:
        for query in queries:
            if 'FROM "agents_agentrunlog"' in query["sql"]:
                cursor.execute("EXPLAIN QUERY PLAN " + query["sql"])
                steps += [row[3] for row in cursor.fetchall()]
    assert steps
    return steps


@pytest.mark.sqlite("reads its plans")
@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"started_from": "2026-11-01", "started_to": "2026-11-21"},
        {"agent": "support-bot"},
        {"agent": "support-bot", "started_from": "2026-11-01"},
        {"tag": "x", "status": "ok", "min_tokens": 1},
        {"agent": "support-bot", "thread_id": "x"},
        {"model": "gpt-4o-mini"},
    ],
)
@pytest.mark.parametrize("later_page", [False, True])
def test_runs_are_read_by_index_and_never_sorted(
    acme: KeyHolder, parameters: dict[str, Any], later_page: bool, analyzed: bool
) -> None:
    report_runs(acme, 60)
    acme.report(*[llm_call(agent="sales-bot") for _ in range(20)])
    if analyzed:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    after = {"after": cursor_of(Position(NOON, 10))} if later_page else {}

    steps = plans(acme, **parameters, **after)

    wanted = "run_by_agent" if "agent" in parameters else "run_by_workspace"
    served = (f"INDEX {wanted} (", f"INDEX {wanted}_status (")
    of_runs = [step for step in steps if "agents_agentrunlog" in step]
    assert of_runs
    assert all(
        step.startswith("SEARCH agents_agentrunlog USING") and any(index in step for index in served)
        for step in of_runs
    ), of_runs
    assert not [step for step in steps if "SCAN agents" in step or "TEMP B-TREE" in step], steps


def test_a_page_takes_as_many_queries_for_fifty_runs_as_for_two(
    acme: KeyHolder, django_assert_num_queries: Any
) -> None:
    report_runs(acme, 2)
    acme.read("runs")
    with CaptureQueriesContext(connection) as for_two:
        acme.read("runs")
    queries = len(for_two)
    report_runs(acme, 50)

    with django_assert_num_queries(queries):
        assert len(acme.read("runs")["runs"]) == 50


# ── CSV ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_runs_as_csv_have_the_owners_column_names(acme: KeyHolder) -> None:
    ModelPrice.objects.create(
        model="gpt-4o-mini",
        input_per_million="0.15",
        output_per_million="0.6",
        effective_from=datetime(2026, 1, 1, tzinfo=UTC),
    )
    acme.report(
        llm_call(), llm_call(request_model="never-heard-of", provider="nobody", started_at=NOON - timedelta(hours=1))
    )

    priced, unpriced = table(acme.csv("runs"))

    assert (priced["Agent"], priced["Input tokens"], priced["Output tokens"]) == ("support-bot", "1200", "300")
    assert priced["Estimated cost (cents)"] == "0.036"
    assert unpriced["Estimated cost (cents)"] == "", "unknown is not 0"


def test_csv_has_every_run_however_many_a_chunk_holds(acme: KeyHolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_topic, "CSV_CHUNK", 4)
    runs = report_runs(acme, 10)

    assert [UUID(row["Run"]) for row in table(acme.csv("runs"))] == runs
    assert [UUID(row["Run"]) for row in table(acme.csv("runs", started_from="2026-11-20T11:55:00Z"))] == runs[:6]


def test_a_csv_that_is_not_all_links_to_the_rest(acme: KeyHolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_topic, "MAX_CSV_RUNS", 4)
    runs = report_runs(acme, 10)
    address, parts = "/api/v1/runs?format=csv&agent=support-bot", []

    while address:
        response = acme.client.get(address)
        parts.append([UUID(row["Run"]) for row in table(b"".join(response.streaming_content).decode())])
        address = response.headers.get("Link", "").removeprefix("<").removesuffix('>; rel="next"')

    assert parts == [runs[:4], runs[4:8], runs[8:]]


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@SUM(A1)", "＝1"])
def test_a_name_that_a_spreadsheet_would_compute_is_text(acme: KeyHolder, start: str) -> None:
    acme.report(llm_call(thread_id=f"{start}|cmd", agent=f"{start} bot", is_root=True))

    [run] = table(acme.csv("runs"))
    [agent] = table(acme.csv("agents"))
    [spend] = table(acme.csv("spend", month="2026-11"))

    assert run["Thread"] == f"'{start}|cmd"
    assert {run["Agent"], agent["Agent"], spend["Agent"]} <= {
        f"'{start} bot",
        f"{start.strip()} bot",
        f"'{start.strip()} bot",
    }
    assert not run["Agent"].startswith(("=", "+", "-", "@", "＝"))


@pytest.mark.parametrize(
    "thread", ["a;\"=cmd|' /C calc'!A0;", 'a;""=1;', 'a; " =1', '"=1', 'a|"@b', 'a";+1;"', "a;\u00a0-1"]
)
@pytest.mark.parametrize("delimiter", [",", ";", "|"])
def test_no_spreadsheet_computes_it_wherever_it_splits_a_line(acme: KeyHolder, thread: str, delimiter: str) -> None:
    acme.report(llm_call(thread_id=thread, is_root=True))

    cells = [cell for row in csv.reader(io.StringIO(acme.csv("runs")), delimiter=delimiter) for cell in row]

    assert len(cells) > 1
    assert not [cell for cell in cells if cell.lstrip().startswith(("=", "+", "-", "@"))]


def test_quotes_commas_and_lines_survive_csv(acme: KeyHolder) -> None:
    odd = 'a "quoted", name; ünïcode'
    acme.report(llm_call(thread_id=odd, is_root=True, started_at=NOON), llm_call(is_root=True, started_at=NOON))
    rows = AgentRunLog.objects.exclude(thread_id=odd)
    rows.update(thread_id="two\nlines, as the wire once took them", error_type="\t=1")

    runs = {run["Thread"]: run["Error"] for run in table(acme.csv("runs"))}

    assert runs == {odd: "", "two\nlines, as the wire once took them": "'\t'=1"}, "a tab may split a line too"


# ── agents ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_agents_are_listed_by_slug_page_by_page_without_the_archived(acme: KeyHolder) -> None:
    acme.report(*[llm_call(agent=name) for name in ("delta", "alpha", "charlie", "bravo", "gone")])
    Agent.objects.filter(slug="gone").update(archived_at=NOON)
    Agent.objects.filter(slug="bravo").update(active=False, effort="low", default_model="gpt-4o-mini", name="Bravo!")

    first = acme.read("agents", limit=3)
    second = acme.read("agents", limit=3, after=first["next"])

    assert [agent["agent"] for agent in first["agents"] + second["agents"]] == ["alpha", "bravo", "charlie", "delta"]
    assert second["next"] is None
    bravo = first["agents"][1]
    assert (bravo["name"], bravo["active"], bravo["effort"], bravo["default_model"]) == (
        "Bravo!",
        False,
        "low",
        "gpt-4o-mini",
    )
    assert datetime.fromisoformat(bravo["last_run_at"]) == NOON


def test_a_run_of_very_many_calls_shows_the_first_of_them(acme: KeyHolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_topic, "MAX_CALLS", 5)
    run_id = uuid4()
    acme.report(*[llm_call(run_id=run_id) for _ in range(8)])

    run = acme.read(f"runs/{run_id}")

    assert (run["calls"], len(run["llm_calls"]), LLMCall.objects.count()) == (8, 5, 8)

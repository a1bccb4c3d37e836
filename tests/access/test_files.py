"""No file of any page or address computes anything in a spreadsheet, whatever agents, models and people are called."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from io import StringIO

import pytest
from django.test import Client

from agents.models import (
    Agent,
    AgentRunLog,
    LLMCall,
    ModelDay,
    ModelPrice,
    TagDay,
    TagMonth,
    UsageDay,
    UsageMonth,
    Workspace,
    WorkspaceTagDay,
)
from tests.access.asking import ask
from tests.access.table import read
from tests.access.test_other_workspaces import files_on, opened
from tests.access.world import World, make_keys

pytestmark = pytest.mark.django_db(databases="__all__")

FORMULA = "=HYPERLINK(1)"
COMPUTED = re.compile(r"""(^|[;,|\t])[\s"]*[=+\-@＝＋－＠]""")


def call_everything_a_formula() -> None:
    Workspace.objects.update(name=FORMULA)
    for agent in Agent.objects.all():
        agent.name, agent.slug = f"{FORMULA}{agent.pk}", f"=slug{agent.pk}"
        agent.save()
    AgentRunLog.objects.update(thread_id="+1", tags=["=2", "a;=3"], error_type="@SUM(A1)")
    named = {"provider": "-1+1", "model": FORMULA}
    LLMCall.objects.update(step=FORMULA, sub_agent="=4", tags=["=2"], **named)
    for used in (*UsageDay.objects.all(), *UsageMonth.objects.all(), *ModelDay.objects.all()):
        used.provider, used.model = "-1+1", f"{FORMULA}{used.pk}"
        used.save()
    for tagged in (*TagDay.objects.all(), *TagMonth.objects.all(), *WorkspaceTagDay.objects.all()):
        tagged.tag = f"=5+{tagged.pk}"
        tagged.save()
    for price in ModelPrice.objects.all():
        price.provider, price.model = f"@{price.pk}", f"{FORMULA}{price.pk}"
        price.save()


def all_files(world: World, root: Client) -> Iterator[tuple[str, str]]:
    """Every file that the superuser is offered, and the API's."""
    offered = {link for address, text in opened("superuser", world) for link in files_on(address, text)}
    for address in sorted(offered):
        yield address, ask(root, "GET", address).text
    holder = Client(headers={"Authorization": f"Bearer {make_keys(world)['whole']}"})
    for row in read("keys.txt"):
        if row.name.endswith("?format=csv"):
            yield row.name, ask(holder, "GET", row.name).text


def test_no_cell_of_any_file_is_a_formula(world: World, root: Client) -> None:
    call_everything_a_formula()

    files = dict(all_files(world, root))

    assert len(files) > 12, files.keys()
    named = [address for address, text in files.items() if FORMULA in text]
    assert len(named) > 6, "the names are in them"
    computed = [
        (address, cell)
        for address, text in files.items()
        for row in csv.reader(StringIO(text))
        for cell in row
        if COMPUTED.search(cell) and not re.fullmatch(r"-?\d+(\.\d+)?", cell)
    ]
    assert computed == []

"""The callback: LangChain's events in, finished facts out to the reporter. It never blocks and never raises."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler

from langchain_plugin import wire
from langchain_plugin.budget_exceeded import BudgetExceeded
from langchain_plugin.call_event import call_event, run_ended_event, run_started_event, settle
from langchain_plugin.cancelled_await import watch_for_cancellation
from langchain_plugin.class_as_callback import NotOfTheClass
from langchain_plugin.config import Config, site_of
from langchain_plugin.endings import call_status, run_status, was_refused_by_provider
from langchain_plugin.estimate import streamed_length
from langchain_plugin.guard import Guard
from langchain_plugin.last_run import CountedCall, LastRun
from langchain_plugin.reporter import KeyInfo, Reporter
from langchain_plugin.request import read_request
from langchain_plugin.run_tree import OpenCall, OpenRun, RunTree, key_of
from langchain_plugin.sayings import Sayings
from langchain_plugin.usage import Usage, read_usage
from langchain_plugin.usage_sayings import say_mended, say_no_usage

AGENT_METADATA_KEY = "costsite_agent"
STALE_AFTER_SECONDS = 3600.0
"""An open call this old is reported as cancelled: a cancelled await tells nobody. If it ends all the same, that
replaces the report."""

STALE_LOOK_SECONDS = 60.0

_trees: dict[object, RunTree] = {}
"""By the site they report to: a site hears of each call once, whatever the number of handlers, keys and folders. By the
reporter where it sends nothing: that must keep no other from sending.
"""


class CostCallbackHandler(BaseCallbackHandler):
    """Reports what every run of an agent uses. Add it to `config={"callbacks": [...]}`, or to a model.

    Args:
        agent: The name the runs are booked to. A run whose config has `metadata={"costsite_agent": ...}` is booked
            to that instead. Without either: `COSTSITE_AGENT`, else the name of the root that runs.
        api_key, url: Where to report (`COSTSITE_API_KEY`, `COSTSITE_URL`). Without a key nothing is written or
            sent, and `last_run` still counts.
        **settings: Any other field of `langchain_plugin.config.Config`; docs/settings.md lists them.

    Raises:
        ConfigError: A setting is wrong; the sentence says the mend. Nothing else ever leaves this class.

    """

    # Only an exception of a synchronous, inline handler with `raise_error` stops a run on every path LangChain has,
    # which budgets need. So every method here catches what is not meant to leave.
    raise_error = True
    run_inline = True

    ignore_chain = ignore_llm = ignore_chat_model = NotOfTheClass()

    def __init__(
        self, agent: str | None = None, *, api_key: str | None = None, url: str | None = None, **settings: Any
    ) -> None:
        super().__init__()
        config = Config.resolve(agent=agent, api_key=api_key, url=url, **settings)
        reporter = Reporter.shared(config)
        where = site_of(config.url) if reporter.sends else reporter
        self._set_up(config, reporter, _trees.get(where) or _trees.setdefault(where, RunTree()))

    @classmethod
    def reporting_to(cls, reporter: Reporter) -> CostCallbackHandler:
        """A handler of a reporter that is not shared, with its settings; it sees calls that others own too."""
        handler = cls.__new__(cls)
        BaseCallbackHandler.__init__(handler)
        handler._set_up(reporter.config, reporter, RunTree())
        return handler

    def _set_up(self, config: Config, reporter: Reporter, tree: RunTree) -> None:
        self.config = config
        self.reporter = reporter
        self._tree = tree
        reporter.before_exit = partial(_report_open_calls, tree, reporter)
        leases = self.reporter.leases
        self._refuses_runs = True
        self._guard = Guard(leases, self.reporter.refusals, self.config.run_limit_cents) if leases is not None else None
        self._agent_name = wire.clean_name(self.config.agent or "")
        self._last_run: LastRun | None = None
        self._look_for_stale_monotonic = 0.0
        self._sayings = Sayings()
        if leases is not None and self._agent_name:
            leases.of(self._agent_name)  # so that the first call finds it there

    # LangChain and its users copy and pickle configs and models, with the callbacks in them.

    def __deepcopy__(self, memo: dict[int, Any]) -> CostCallbackHandler:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """As the arguments it was made with, but for the key: that comes from the environment it is unpickled in."""
        sources = self.config.sources
        given = {name: getattr(self.config, name) for name, source in sources.items() if source == "argument"}
        given.pop("api_key", None)
        return _remade, (given,)

    # ── for people ───────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def last_run(self) -> LastRun | None:
        """The run that ended last among those this handler saw; None before the first."""
        return self._last_run

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait up to `timeout` seconds until nothing waits any more; False when something does.

        What the server rejected waits no longer: it is kept in `rejected.jsonl` and counted in `losses`.
        """
        return self.reporter.flush(timeout)

    @property
    def losses(self) -> dict[str, int]:
        """What of this process was lost or rejected since it began, by reason; empty when all is well."""
        return self.reporter.losses

    def check(self) -> KeyInfo:
        """Ask the server once whether address and key are right.

        Raises:
            CheckFailed: One of its kinds, with one sentence that says the mend.

        """
        return self.reporter.check()

    # ── what the agent's owner set at the site ───────────────────────────────────────────────────────────────────

    @property
    def effort(self) -> str:
        """How hard the agent's model is to think: `low`, `medium`, `high`, or empty when nobody said, or none heard.

        Of the agent whose run this is asked in, else of the one this handler is for. It comes with the site's answers,
        so a process that is running hears of a change with its next report; before the first answer, this waits for it,
        at most a second, and never on an event loop.
        """
        return self.effort_of(None)

    def effort_of(self, agent: str | None) -> str:
        """`effort`, of an agent by its name."""
        settings = self._settings_of(agent)
        return settings.effort if settings is not None else ""

    def compact_at_tokens_of(self, agent: str | None) -> int | None:
        """From how many tokens on a conversation is to be compacted; None when nobody said, or none heard."""
        settings = self._settings_of(agent)
        return settings.compact_at_tokens if settings is not None else None

    def _settings_of(self, agent: str | None) -> wire.AgentSettings | None:
        if agent is None:
            run = self._tree.run_of(None)
            agent = run.agent if run is not None else self._agent_name
        agent = wire.clean_name(agent)
        known = self.reporter.news.agent_settings(agent)
        if known is None and agent and self.reporter.leases is not None:
            self.reporter.leases.hear_first(agent)
            known = self.reporter.news.agent_settings(agent)
        return known

    # ── for `BudgetMiddleware` ───────────────────────────────────────────────────────────────────────────────────

    def let_runs_start(self) -> None:
        """Have a run begin also when its budget is spent: the middleware ends it with an answer."""
        self._refuses_runs = False

    def refusal_of_this_run(self) -> BudgetExceeded | None:
        """Why the run in whose context this is asked may not go on, by what is known here; None when it may."""
        run = self._tree.run_of(None)
        if run is None or self._guard is None:
            return None
        try:
            self._guard.before_run(run)
        except BudgetExceeded as refusal:
            return refusal
        return None

    def model_move(self) -> tuple[str, wire.ModelMove] | None:
        """The agent whose run this is asked in, or that this handler is for, and the model that its budget moves it to;
        None when its owner said nothing of that, or none was heard.
        """
        settings = self._settings_of(None)
        if settings is None or settings.model_move is None:
            return None
        return settings.agent, settings.model_move

    def share_spent(self) -> float | None:
        """Of the tightest budget of the agent whose run this is asked in, the part that is spent; None without one."""
        run = self._tree.run_of(None)
        if run is None or self._guard is None:
            return None
        return self._guard.share_spent(run.agent)

    # ── chains, tools, retrievers: only who belongs to whom ──────────────────────────────────────────────────────

    # `*args, **kwargs` on purpose: with `raise_error`, an argument that a newer LangChain adds, or passes by name,
    # would otherwise break the user's run before a line of ours is reached.

    def on_chain_start(self, *args: Any, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        try:
            begun = self._tree.enter(run_id, parent_run_id, lambda: self._agent(args, kwargs), self)
            if begun is not None and self._guard is not None and self._refuses_runs:
                self._guard_run(begun, run_id, self._guard)
        except BudgetExceeded:
            raise
        except Exception as error:
            self._broke(error)

    on_tool_start = on_chain_start
    on_retriever_start = on_chain_start

    def on_chain_end(self, *args: Any, run_id: UUID, **kwargs: Any) -> None:
        try:
            run = self._tree.leave(run_id)
            if run is not None:
                run.watchers[0]._end_run(run, "ok", "")
        except Exception as error:
            self._broke(error)

    on_tool_end = on_chain_end
    on_retriever_end = on_chain_end

    def on_chain_error(self, error: BaseException, *args: Any, run_id: UUID, **kwargs: Any) -> None:
        try:
            run = self._tree.leave(run_id)
            if run is not None:
                run.watchers[0]._end_run(run, run_status(error), type(error).__name__)
        except Exception as bug:
            self._broke(bug)

    on_tool_error = on_chain_error
    on_retriever_error = on_chain_error

    # ── model calls ──────────────────────────────────────────────────────────────────────────────────────────────

    def on_chat_model_start(self, *args: Any, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        try:
            tree = self._tree
            run = tree.run_of(parent_run_id)
            if run is not None and run.watchers[0].reporter is not self.reporter:
                run = None  # another key's: this call may go to another workspace than that run
            agent = self._agent(args, kwargs) if run is None else ""
            call = tree.open_call(run_id, run, agent, self, read_request(args[0], kwargs, self._broke), args[1])
            if call is None:
                return
            if run is not None and not run.announced:
                run.announced = True
                self.reporter.append(run_started_event(run, call))
            # Asked in C and without an error where there is none, as in most threads.
            if asyncio._get_running_loop() is not None:
                watch_for_cancellation(tree, call, parent_run_id)
            if call.started_monotonic > self._look_for_stale_monotonic:
                self._close_stale(call.started_monotonic)
            if self._guard is not None:
                self._guard_call(call, self._guard)
        except BudgetExceeded:
            raise
        except Exception as error:
            self._broke(error)

    # Text-completion models: the same facts, with prompts in place of messages.
    on_llm_start = on_chat_model_start

    def on_llm_new_token(self, token: Any, *args: Any, run_id: UUID, **kwargs: Any) -> None:
        try:
            call = self._tree.calls.get(key_of(run_id))
            if call is not None and call.owner is self:
                call.streamed(len(token) if isinstance(token, str) else streamed_length(token))
        except Exception as error:
            self._broke(error)

    def on_stream_event(self, event: Any, *args: Any, run_id: UUID, **kwargs: Any) -> None:
        self.on_llm_new_token(event, run_id=run_id)

    def on_llm_end(self, response: Any, *args: Any, run_id: UUID, **kwargs: Any) -> None:
        try:
            call = self._tree.close_call(run_id, self)
            if call is not None:
                self._end_call(call, "ok", "", read_usage(response, call.request, self._broke))
        except Exception as error:
            self._broke(error)

    def on_llm_error(self, error: BaseException, *args: Any, run_id: UUID, **kwargs: Any) -> None:
        try:
            call = self._tree.close_call(run_id, self)
            if call is None:
                return
            partial = kwargs.get("response")
            status = call_status(error)
            self._end_call(
                call,
                status,
                "" if status == "abandoned" else type(error).__name__,
                read_usage(partial, call.request, self._broke) if partial is not None else None,
                refused_by_provider=was_refused_by_provider(error) and not call.streamed_characters,
            )
        except Exception as bug:
            self._broke(bug)

    # ── the facts ────────────────────────────────────────────────────────────────────────────────────────────────

    def _agent(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Whom a new root is booked to."""
        metadata = kwargs.get("metadata") or {}
        name = metadata.get(AGENT_METADATA_KEY)
        if not name:
            if self._agent_name:
                return self._agent_name
            name = metadata.get("lc_agent_name") or kwargs.get("name")
        if not name and args and isinstance(args[0], dict):
            name = args[0].get("name")
        return wire.clean_name(name or "") or "unnamed"

    def _end_run(self, run: OpenRun, status: wire.RunStatus, error_type: str) -> None:
        for call in self._tree.open_calls_of(run):
            call.owner.report_cancelled(call)
        if run.announced:
            self.reporter.refusals.run_ended(run.run_id)
            self.reporter.append(run_ended_event(run, status, error_type))
            self._show(run, status)

    def _end_call(
        self,
        call: OpenCall,
        status: wire.CallStatus,
        error_type: str,
        usage: Usage | None,
        *,
        refused_by_provider: bool = False,
    ) -> None:
        if call.forget_task is not None:
            call.forget_task()
        settled = settle(call, status, usage, refused_by_provider=refused_by_provider)
        is_local_hit = usage is not None and usage.served_from_local_cache
        if call.taken is not None and self._guard is not None:
            self._guard.after_call(call, settled.counts, served_from_local_cache=is_local_hit)
        reporter = self.reporter
        if reporter.sends:
            reporter.append(call_event(call, status, error_type, usage, settled))
            if call.messages is not None:
                reporter.fingerprint(call.call_id, call.messages, usage.tool_calls if usage is not None else ())
        run = call.run
        if not call.reported:
            request = call.request
            self._sums(run).add(
                CountedCall(
                    request.provider,
                    request.request_model,
                    (usage.service_tier if usage is not None else "") or request.service_tier,
                    settled.counts,
                    is_local_hit,
                    not settled.is_measured,
                )
            )
            suspect = usage.suspect if usage is not None else ""
            if settled.is_measured:
                if suspect:
                    say_mended(self._sayings, call, suspect)
            elif status == "ok" and not is_local_hit:
                say_no_usage(self._sayings, call, suspect)
        if run.is_bare_call:
            self._show(run, status)

    # ── budgets ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _guard_run(self, run: OpenRun, langchain_id: UUID, guard: Guard) -> None:
        """Raises BudgetExceeded where a budget is spent. LangChain tells nobody of the end of such a run."""
        try:
            guard.before_run(run)
        except BudgetExceeded:
            self._tree.leave(langchain_id)
            self._show(run, "refused")
            raise

    def _guard_call(self, call: OpenCall, guard: Guard) -> None:
        """Raises BudgetExceeded where the call may not be made. LangChain tells nobody of the end of such a call."""
        try:
            guard.before_call(call)
        except BudgetExceeded:
            self._tree.close_call(call.langchain_run_id, self)
            if call.forget_task is not None:
                call.forget_task()
            if call.run.is_bare_call:
                self._show(call.run, "refused")
            raise

    # ── what LangChain never tells ───────────────────────────────────────────────────────────────────────────────

    def _close_stale(self, now: float) -> None:
        self._look_for_stale_monotonic = now + STALE_LOOK_SECONDS
        for call in self._tree.calls_started_before(now - STALE_AFTER_SECONDS):
            if not call.reported:
                call.owner.report_cancelled(call)
            self._tree.give_up(call)

    def forgot(self, run: OpenRun) -> None:
        """For the tree: there were too many open to know this one any longer."""
        self.reporter.count_loss("run_forgotten")

    def report_cancelled(self, call: OpenCall) -> None:
        """Report an open call as cancelled, by estimate; the call stays known, so that an end may still replace it."""
        try:
            self._end_call(call, "cancelled", "", None)
            call.reported = True
            call.messages = None  # a prompt is not kept for an end that will hardly come
        except Exception as error:
            self._broke(error)

    # ── sums for people ──────────────────────────────────────────────────────────────────────────────────────────

    def _sums(self, run: OpenRun) -> LastRun:
        if run.totals is None:
            run.totals = LastRun(run.agent, run.run_id, self.reporter)  # not of the run: it would hold itself
        sums: LastRun = run.totals
        return sums

    def _show(self, run: OpenRun, status: str) -> None:
        sums = self._sums(run)
        sums.status = status
        for handler in run.watchers:
            handler._last_run = sums

    def _broke(self, error: Exception) -> None:
        """A bug of ours costs a record, never the user's call."""
        self.reporter.count_loss("bug")
        self._sayings.once(
            "bug",
            "Costsite could not read a callback (%s: %s); the run goes on, and what it missed is counted.",
            type(error).__name__,
            error,
            error=error,
        )


def _remade(settings: dict[str, Any]) -> CostCallbackHandler:
    return CostCallbackHandler(**settings)


def _report_open_calls(tree: RunTree, reporter: Reporter) -> None:
    """A call still open when the process ends was cancelled by it; its record goes out with the last flush."""
    for call in tuple(tree.calls.values()):
        if not call.reported and call.owner.reporter is reporter:
            call.owner.report_cancelled(call)

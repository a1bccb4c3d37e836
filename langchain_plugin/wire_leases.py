"""What the plugin and the site say to each other about money to spend. Standard library and pydantic only.

The other half of `wire`, which says the units.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, FailFast, Field, OnErrorOmit

from langchain_plugin.server_words import clean_words
from langchain_plugin.wire import (
    MAX_COUNT,
    MAX_TOKENS_PER_CALL,
    AgentSettings,
    AnswerModel,
    BudgetNews,
    Count,
    Instant,
    LinePassed,
    Name,
    PriceCardEntry,
    RequiredName,
    UnitPrices,
    WireModel,
    clean_name,
)

MAX_HOLD_MICROCENTS = 10**15
"""10 million USD: what a client may say that its open calls hold."""
MAX_MODELS_ASKED = 50
Words = Annotated[str, AfterValidator(clean_words)]
"""What stands in exceptions, and so in logs, of the agent's process: no line there is whoever answers' to write."""
SubjectName = Annotated[str, AfterValidator(clean_name)]
"""The same of a name: joiners, of which scripts and emoji are made, stay."""
Hold = Annotated[int, Field(strict=True, ge=0, le=MAX_HOLD_MICROCENTS)]


class ModelAsked(WireModel):
    """A model as the client names it."""

    provider: Name = ""
    model: Name = ""
    service_tier: Name = ""


class LeaseRequest(WireModel):
    """A process asks for money to spend on an agent's calls, or renews what it has: one lease an agent and process."""

    agent: RequiredName
    client_id: UUID
    least_microcents: Hold = 0
    """What the next call may cost: less is not worth granting."""
    outstanding_microcents: Hold = 0
    """What calls hold that are open, or ended and not yet reported."""
    keep_microcents: Hold = 0
    """What is left of the lease and may be spent while the answer is on its way: it is not given to others."""
    sent_at: Instant | None = None
    """By the clock that the calls' times are of: they count in its month, so the lease is for that one."""
    models: Annotated[tuple[ModelAsked, ...], FailFast(), Field(max_length=MAX_MODELS_ASKED)] = ()
    """Those whose prices the client wants to know, beside the ones the agent used of late."""


class LeaseRelease(WireModel):
    outstanding_microcents: Hold = 0


class RefusalFacts(AnswerModel):
    """Why an agent may not go on, by the budget that refuses. Money in microcents."""

    kind: Words
    """One of `RefusalKind`; plain text here, so that an older plugin reads a newer server's answer."""
    scope: Words
    """`agent`, `workspace` or `site`: whose budget it is."""
    subject: SubjectName
    """The agent or workspace, as people call it."""
    policy_id: int
    mode: Words
    """`dispatch`: only new runs are refused. `hard`: calls inside a run too."""
    limit_microcents: Count | None
    """With the grants in force; like the next, None of a budget that others' spend counts against too."""
    spent_microcents: Annotated[int, Field(ge=-MAX_COUNT, le=MAX_COUNT)] | None
    left_microcents: Count
    """At least so much: one digit of it where the limit is None."""
    held_microcents: Count | None
    """Set aside for others."""
    asked_microcents: Count
    """What the call may cost that was asked for."""
    blocked_until: AwareDatetime | None = None
    """When the month ends; None where waiting helps sooner, or a smaller call goes through."""
    blocked_until_text: Words = ""
    """The same for people: "1 December 00:00 (Europe/Berlin)"."""
    retry_after_seconds: Annotated[float, Field(ge=0, le=3600)] | None = None


class LeasePrice(PriceCardEntry):
    output_bound_tokens: Annotated[int, Field(ge=0, le=MAX_TOKENS_PER_CALL)]
    """What an answer of the model hardly exceeds, for requests that set no maximum of their own."""


class LeaseAnswer(AnswerModel):
    """Leave to go on. Times count from before the client asked."""

    agent: RequiredName
    lease_id: UUID | None = None
    """For the calls to name; None: nothing is set aside, since no budget stops this agent inside a run."""
    available_microcents: Count | None = None
    """To be spent beyond what the request said is outstanding; None: without bound."""
    valid_for_seconds: Annotated[float, Field(ge=0, le=3600)]
    budget: BudgetNews | None = None
    agent_settings: AgentSettings | None = None
    """As a Receipt has them: a process that has sent nothing yet hears of them here."""
    lines_passed: list[OnErrorOmit[LinePassed]] = []
    """Of the agent's budgets, of late, by whomever."""
    no_new_runs: RefusalFacts | None = None
    """A budget of mode `dispatch` is spent: what runs may finish."""
    price_card: list[OnErrorOmit[LeasePrice]] = []
    fallback: UnitPrices | None = None
    """For models that are not on the card; None: no price is known at all, and they hold nothing."""
    fallback_output_bound_tokens: Annotated[int, Field(ge=0, le=MAX_TOKENS_PER_CALL)] = 4_096
    unpriced: str = "allow"
    """What becomes of a call of a model without a price: `allow` lets it through, `refuse` does not, and under `assume`
    it holds `fallback`.
    """

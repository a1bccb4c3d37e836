"""What the plugin and the site say to each other. Standard library and pydantic only.

Both sides import this, which has the names of `wire_prices`, and `wire_leases`. Units: tokens are counts, money is
**microcents** (10^-8 USD), times are Unix seconds in UTC (or ISO 8601 with an offset), durations are seconds. Token
totals are *inclusive*, as LangChain and OpenTelemetry count them: `input_tokens` contains what was read from and
written to a prompt cache, `output_tokens` contains reasoning. The other counts are subsets of these two.

Never text: no prompt, no answer, no argument of a tool travels here.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    OnErrorOmit,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from langchain_plugin.wire_prices import Cost as Cost
from langchain_plugin.wire_prices import TokenCounts as TokenCounts
from langchain_plugin.wire_prices import UnitPrices as UnitPrices
from langchain_plugin.wire_prices import cost_of as cost_of

WIRE_VERSION = 1
MICROCENTS_PER_CENT = 1_000_000
CLOCK_TOLERANCE_SECONDS = 60
"""As far as a client's clock may be from the server's before the server shifts what it reports."""

MAX_EVENTS_PER_BATCH = 1_000
"""What the server takes in one batch; the plugin sends at most `CLIENT_EVENTS_PER_BATCH`."""
MAX_BATCH_BYTES = 2 * 1024 * 1024
"""How large a batch may be after inflating."""
CLIENT_EVENTS_PER_BATCH = 500
CLIENT_BATCH_BYTES = 900_000

MAX_TOKENS_PER_CALL = 100_000_000
"""No model has a context near this; a larger count is a mistake of the reporter."""
MAX_NAME_LENGTH = 200
MAX_TAGS = 8
MAX_TAG_LENGTH = 64
MAX_TOOL_CALLS = 64
MAX_COUNT = 2**63 - 1
"""What a column of the ledger holds."""
KEPT_OF_TRIGGER = 4
"""Compacted at N tokens a conversation keeps the newest N / 4: so the plugin does, and so the site's advice reckons."""

_UNSHOWABLE = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"
"""What drives a terminal, breaks a line, or turns the rest of the line round. No name needs it."""
_INVISIBLE = (
    r"\s\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff"
    r"\uffa0" + "\U000e0000-\U000e0fff"
)
"""Good beside other characters, as in emoji and Persian; alone, nobody could find the name again.

Unicode's default ignorable code points, and the blanks it does not call spaces. The pattern is read by Rust's regex,
by Python's and by whoever reads the API's description, so it holds no escape that one of them lacks.
"""
_REPLACED = re.compile(rf"[{_UNSHOWABLE}\ud800-\udfff]")
_VISIBLE = re.compile(rf"[^{_UNSHOWABLE}{_INVISIBLE}]")


def is_showable(text: str) -> bool:
    """Whether a name may have all that is in `text`."""
    return not _REPLACED.search(text)


def clean_name(value: object, max_length: int = MAX_NAME_LENGTH) -> str:
    """Any value as a name the wire accepts: nothing unshowable, no lone surrogates, cut to `max_length`.

    Empty when nothing of it could be seen. A call is worth more than the exact spelling of its model, so the plugin
    cleans instead of dropping.
    """
    text = value if isinstance(value, str) else str(value)
    clean = _REPLACED.sub("\ufffd", text[:max_length].strip())
    return clean if _VISIBLE.search(clean) else ""


_SEEN = rf"^[^{_UNSHOWABLE}]*[^{_UNSHOWABLE}{_INVISIBLE}][^{_UNSHOWABLE}]*$"
Name = Annotated[str, StringConstraints(max_length=MAX_NAME_LENGTH, pattern=rf"^[^{_UNSHOWABLE}]*$")]
RequiredName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_LENGTH, pattern=_SEEN)]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TAG_LENGTH, pattern=_SEEN)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16,64}$")]
Tokens = Annotated[int, Field(strict=True, ge=0, le=MAX_TOKENS_PER_CALL)]
Count = Annotated[int, Field(strict=True, ge=0, le=MAX_COUNT)]
Instant = Annotated[
    AwareDatetime,
    Field(ge=datetime(1970, 1, 1, tzinfo=UTC), lt=datetime(2200, 1, 1, tzinfo=UTC)),
]
"""A time of a clock that may be wrong, but not so wrong that shifting it leaves the calendar."""
Seconds = Annotated[float, Field(ge=0, le=31 * 24 * 3600, allow_inf_nan=False)]

CallStatus = Literal["ok", "error", "abandoned", "cancelled"]
RunStatus = Literal["ok", "error", "cancelled"]
RefusalKind = Literal["exhausted", "held", "too_large"]
UsageBasis = Literal["measured", "estimated"]
Purpose = Literal["agent", "compaction"]


class WireModel(BaseModel):
    """Unknown fields are an error: a count under a misspelt name would be a count lost in silence. The server then
    takes an event without them, and says so.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


class RunEvent(WireModel):
    """What every event says: which run of which agent."""

    run_id: UUID
    """Minted by the plugin (UUIDv7): a caller may give LangChain the same run id twice."""
    agent: RequiredName


class RunStarted(RunEvent):
    type: Literal["run_started"]
    started_at: Instant
    langchain_run_id: UUID | None = None
    parent_run_id: UUID | None = None
    thread_id: Name = ""
    tags: Annotated[tuple[Tag, ...], FailFast(), Field(max_length=MAX_TAGS)] = ()


class RunEnded(RunEvent):
    type: Literal["run_ended"]
    started_at: Instant
    ended_at: Instant
    status: RunStatus
    error_type: Name = ""


class Refused(RunEvent):
    """Calls that were refused before they were made, summed per run, kind and minute."""

    type: Literal["refused"]
    refusal_id: UUID
    kind: RefusalKind
    refused_at: Instant
    count: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 1
    policy_id: Annotated[int, Field(strict=True, ge=1, le=MAX_COUNT)] | None = None


class ToolCall(NamedTuple):
    """A tool the model asked for: its name, and a keyed hash of the arguments (empty until it is known)."""

    name: Name
    arguments_hash: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{16,64})?$")] = ""


class LLMCall(RunEvent):
    """One model call: what it used, never what it said."""

    type: Literal["llm_call"]
    call_id: UUID
    langchain_run_id: UUID | None = None
    lease_id: UUID | None = None
    is_root: bool = False
    """True for a model called outside any chain: the call is its own run, and no run events are sent for it."""
    call_index: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = 0
    step: Name = ""
    sub_agent: Name = ""
    purpose: Purpose = "agent"

    provider: Name = ""
    request_model: Name = ""
    response_model: Name = ""
    service_tier: Name = ""
    effort: Name = ""

    started_at: Instant
    ended_at: Instant
    status: CallStatus = "ok"
    error_type: Name = ""

    usage_basis: UsageBasis = "measured"
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    cache_read_tokens: Tokens = 0
    cache_write_5m_tokens: Tokens = 0
    cache_write_1h_tokens: Tokens = 0
    cache_write_unknown_tokens: Tokens = 0
    reasoning_tokens: Tokens = 0
    input_audio_tokens: Tokens = 0
    output_audio_tokens: Tokens = 0
    served_from_local_cache: bool = False

    max_output_tokens: Tokens | None = None
    time_to_first_token_seconds: Seconds | None = None
    prompt_messages: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = 0
    prompt_hash: Digest | None = None
    tool_calls: Annotated[tuple[ToolCall, ...], FailFast(), Field(max_length=MAX_TOOL_CALLS)] = ()
    thread_id: Name = ""
    tags: Annotated[tuple[Tag, ...], FailFast(), Field(max_length=MAX_TAGS)] = ()

    @model_validator(mode="after")
    def _counts_agree(self) -> LLMCall:
        if self.usage_basis == "measured" and (self.input_tokens is None or self.output_tokens is None):
            raise PydanticCustomError(
                "missing_field",
                'input_tokens and output_tokens are required when usage_basis is "measured"; send "estimated" when the'
                " provider reported no usage",
            )
        cached = (
            self.cache_read_tokens
            + self.cache_write_5m_tokens
            + self.cache_write_1h_tokens
            + self.cache_write_unknown_tokens
        )
        if max(cached, self.input_audio_tokens) > (self.input_tokens or 0):
            raise PydanticCustomError(
                "subsets_exceed_total",
                "input_tokens ({total}) must include its subsets: cache reads and writes come to {cached}, audio to"
                " {audio}",
                {"total": self.input_tokens or 0, "cached": cached, "audio": self.input_audio_tokens},
            )
        if max(self.reasoning_tokens, self.output_audio_tokens) > (self.output_tokens or 0):
            raise PydanticCustomError(
                "subsets_exceed_total",
                "output_tokens ({total}) must include its subsets: reasoning is {reasoning}, audio {audio}",
                {
                    "total": self.output_tokens or 0,
                    "reasoning": self.reasoning_tokens,
                    "audio": self.output_audio_tokens,
                },
            )
        return self


Event = Annotated[RunStarted | RunEnded | Refused | LLMCall, Field(discriminator="type")]


class ClientHealth(WireModel):
    """How the reporting process fares.

    `spool_events` and `spool_bytes` are what is left to send once this batch is taken. `dropped` counts since the
    process began, by reason.
    """

    spool_events: Count = 0
    spool_bytes: Count = 0
    dropped: Annotated[dict[Name, Count], Field(max_length=32)] = {}
    versions: Annotated[dict[Name, Name], Field(max_length=16)] = {}
    host: Name = ""
    pid: Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)] = 0


class EventBatch(WireModel):
    batch_id: UUID
    client_id: UUID
    sent_at: Instant
    health: ClientHealth = ClientHealth()
    events: Annotated[list[Event], FailFast(), Field(max_length=MAX_EVENTS_PER_BATCH)]


# ── the server's answer ──────────────────────────────────────────────────────────────────────────────────────────


class AnswerModel(BaseModel):
    """Answers may grow: an older plugin ignores what it does not know."""

    # Pydantic keeps names that begin with model_ for itself, all of them until 2.10, and warns of ours.
    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


RejectionCode = Literal[
    "unknown_type",
    "missing_field",
    "bad_value",
    "too_large",
    "subsets_exceed_total",
    "too_old",
    "agent_not_allowed",
    "not_storable",
]
"""Every reason an event is refused for. Sending it again, unchanged, meets the same answer until that is mended."""


class Rejection(AnswerModel):
    index: int
    code: str
    """One of `RejectionCode`; plain text here, so that an older plugin reads a newer server's answer."""
    message: str
    """Says the mend."""


class ModelMove(AnswerModel):
    """From a part of the agent's own monthly budget on, its owner wants another model asked."""

    provider: Name = ""
    """As LangChain names it; empty: nobody said."""
    model: RequiredName
    at_percent: Annotated[int, Field(ge=1, le=100)]
    due_until: Instant | None = None
    """So much is spent: the model is to be asked until then, when the month ends. None: not yet."""


class AgentSettings(AnswerModel):
    agent: RequiredName
    active: bool = True
    effort: Name = ""
    default_model: Name = ""
    compact_at_tokens: Annotated[int, Field(ge=1, le=MAX_COUNT)] | None = None
    """The size of a conversation from which on it is to be compacted; None: nobody said."""
    model_move: ModelMove | None = None


class Notice(AnswerModel):
    code: str
    message: str


class PriceCardEntry(AnswerModel):
    """Unit prices for a model as the client names it; `prices` is None when the model is unpriced."""

    provider: Name
    model: Name
    service_tier: Name = ""
    prices: UnitPrices | None
    valid_up_to_input_tokens: Annotated[int, Field(ge=0, le=MAX_COUNT)] | None = None
    """Above this context size the price is another; None: at any size."""


class BudgetNews(AnswerModel):
    """The tightest budget that covers an agent, in microcents."""

    agent: RequiredName
    spent_microcents: Annotated[int, Field(ge=-MAX_COUNT, le=MAX_COUNT)]
    """Below 0 where corrections outweigh the month's calls."""
    limit_microcents: Count


class LinePassed(AnswerModel):
    """Spending passed a line of a budget. Whoever hears of one again shows it once."""

    crossing_id: int
    title: str
    body: str
    """A sentence or two for people."""


class Receipt(AnswerModel):
    """The fate of every event of a batch, by its index. An event not named here stays in the spool.

    What is news beside the fates is read entry by entry, and one that cannot be is left out: a price that makes no
    sense must not keep the events in the spool for ever.
    """

    batch_id: UUID
    accepted: list[int]
    duplicates: list[int]
    rejected: list[Rejection]
    hash_key: str = ""
    """Keys the hashes of prompts and tool arguments, per workspace."""
    agent_settings: list[OnErrorOmit[AgentSettings]] = []
    price_card: list[OnErrorOmit[PriceCardEntry]] = []
    budgets: list[OnErrorOmit[BudgetNews]] = []
    lines_passed: list[OnErrorOmit[LinePassed]] = []
    """Of budgets, by this batch."""
    notices: list[OnErrorOmit[Notice]] = []

    def names_every_event(self, count: int) -> bool:
        """True when each index below `count` has exactly one fate."""
        named = sorted([*self.accepted, *self.duplicates, *(rejection.index for rejection in self.rejected)])
        return named == list(range(count))


class ErrorBody(AnswerModel):
    """The one shape of every error the API answers with."""

    code: str
    message: str
    """One sentence that says the mend."""
    details: list[dict[str, Any]] = []

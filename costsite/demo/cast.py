"""Who appears in the demo: two workspaces, six agents, what they run on and how they behave. Pure, without Django."""

from __future__ import annotations

from dataclasses import dataclass, field

from costsite.demo.shapes import (
    CHAT_ANSWER,
    CHAT_CONTEXT,
    CODE_ANSWER,
    CODE_CONTEXT,
    CUSTOMER_HOURS,
    OFFICE_HOURS,
    TokenShape,
)


@dataclass(frozen=True)
class Model:
    provider: str
    """As LangChain's integrations name it in `ls_provider`."""
    name: str
    answers_as: str = ""
    """The dated name the provider answers with; empty: the same."""
    effort: str = ""
    reasoning: float = 0.0
    """Tokens of reasoning per token of visible answer, on average."""
    tokens_per_second: float = 90.0


GPT_5_MINI = Model("openai", "gpt-5-mini", "gpt-5-mini-2025-08-07", effort="low", reasoning=0.4, tokens_per_second=110)
GPT_5 = Model("openai", "gpt-5", "gpt-5-2025-08-07", effort="high", reasoning=3.5, tokens_per_second=75)
HAIKU = Model("anthropic", "claude-haiku-4-5", "claude-haiku-4-5-20251001", tokens_per_second=150)
SONNET = Model("anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929", tokens_per_second=75)
OPUS = Model(
    "anthropic", "claude-opus-4-5", "claude-opus-4-5-20251101", effort="medium", reasoning=0.8, tokens_per_second=60
)
FLASH_LITE = Model("google_genai", "gemini-2.5-flash-lite", tokens_per_second=220)
IN_HOUSE = Model("vllm", "northwind-summarizer-70b", tokens_per_second=45)
"""Nobody lists a price for it: its calls are unpriced until someone enters one."""


@dataclass(frozen=True)
class Agent:
    slug: str
    name: str
    workspace: str
    runs_per_weekday: float
    weekend: float
    """Share of a weekday's traffic on Saturday and Sunday."""
    hours: tuple[int, ...]
    context: TokenShape
    answer: TokenShape
    models: tuple[tuple[Model, float], ...]
    """With the share of the runs that use each."""
    more_calls: float = 0.0
    """Chance that another call follows in the same run: the agent asked for a tool."""
    tools: tuple[str, ...] = ()
    tool_answer_tokens: tuple[int, int] = (60, 900)
    steps: tuple[str, ...] = ("model",)
    sub_agent: str = ""
    sub_agent_model: Model | None = None
    tags: tuple[tuple[str, ...], ...] = ()
    """One is drawn from each group."""
    threads: bool = False
    failing: float = 0.01
    abandoned: float = 0.0
    cancelled: float = 0.0
    local_cache: float = 0.0
    max_output_tokens: int | None = None


@dataclass(frozen=True)
class Workspace:
    slug: str
    name: str
    agents: tuple[Agent, ...] = field(default=())


SUPPORT = Workspace(
    "acme-support",
    "Acme Support",
    (
        Agent(
            "support-bot",
            "Support bot",
            "acme-support",
            runs_per_weekday=95,
            weekend=0.55,
            hours=CUSTOMER_HOURS,
            context=CHAT_CONTEXT,
            answer=CHAT_ANSWER,
            models=((GPT_5_MINI, 0.88), (GPT_5, 0.12)),
            more_calls=0.55,
            tools=("look_up_order", "search_help_pages", "open_ticket"),
            threads=True,
            abandoned=0.02,
            failing=0.012,
            tags=(("production",), ("plan:free", "plan:pro", "plan:business"), ("channel:web", "channel:mail")),
            max_output_tokens=2_048,
        ),
        Agent(
            "ticket-triage",
            "Ticket triage",
            "acme-support",
            runs_per_weekday=85,
            weekend=0.5,
            hours=CUSTOMER_HOURS,
            context=CHAT_CONTEXT,
            answer=CODE_ANSWER,
            models=((FLASH_LITE, 1.0),),
            steps=("classify",),
            local_cache=0.03,
            tags=(("production",),),
            max_output_tokens=256,
        ),
        Agent(
            "reply-drafter",
            "Reply drafter",
            "acme-support",
            runs_per_weekday=40,
            weekend=0.15,
            hours=OFFICE_HOURS,
            context=CHAT_CONTEXT,
            answer=CHAT_ANSWER,
            models=((HAIKU, 0.8), (SONNET, 0.2)),
            more_calls=0.25,
            steps=("draft", "rewrite"),
            abandoned=0.07,
            tags=(("production",), ("team:billing", "team:shipping")),
        ),
    ),
)
ENGINEERING = Workspace(
    "northwind-engineering",
    "Northwind Engineering",
    (
        Agent(
            "code-completer",
            "Code completer",
            "northwind-engineering",
            runs_per_weekday=120,
            weekend=0.08,
            hours=OFFICE_HOURS,
            context=CODE_CONTEXT,
            answer=CODE_ANSWER,
            models=((HAIKU, 1.0),),
            steps=("complete",),
            cancelled=0.04,
            local_cache=0.05,
            tags=(("editor",), ("repo:storefront", "repo:warehouse", "repo:billing")),
            max_output_tokens=1_024,
        ),
        Agent(
            "fix-bot",
            "Fix bot",
            "northwind-engineering",
            runs_per_weekday=5,
            weekend=0.3,
            hours=OFFICE_HOURS,
            context=CODE_CONTEXT,
            answer=CHAT_ANSWER,
            models=((OPUS, 0.45), (SONNET, 0.55)),
            more_calls=0.91,
            tools=("read_file", "run_tests", "edit_file", "search_code"),
            tool_answer_tokens=(150, 4_500),
            steps=("plan", "work", "check"),
            failing=0.02,
            tags=(("ci",), ("repo:storefront", "repo:warehouse", "repo:billing")),
            max_output_tokens=16_384,
        ),
        Agent(
            "research-analyst",
            "Research analyst",
            "northwind-engineering",
            runs_per_weekday=7,
            weekend=0.2,
            hours=OFFICE_HOURS,
            context=CHAT_CONTEXT,
            answer=CHAT_ANSWER,
            models=((GPT_5, 1.0),),
            more_calls=0.8,
            tools=("search_web", "read_page"),
            tool_answer_tokens=(400, 7_000),
            steps=("research", "write"),
            sub_agent="summarizer",
            sub_agent_model=IN_HOUSE,
            failing=0.025,
            tags=(("research",),),
        ),
    ),
)
WORKSPACES = (SUPPORT, ENGINEERING)
RUNAWAY = ENGINEERING.agents[1]
"""The agent that once a month repeats the same tool call for a whole afternoon."""

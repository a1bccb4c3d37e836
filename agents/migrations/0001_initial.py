"""The ledger's tables as first released, in the order of `agents/models/`: people, runs and calls, days, prices."""

from __future__ import annotations

from typing import Any

import django.utils.timezone
from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import migrations, models
from django.db.models import CASCADE, PROTECT, SET_NULL, F, Q

import agents.models.people


def id_field() -> tuple[str, models.Field[Any, Any]]:
    return ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"))


def count() -> models.Field[Any, Any]:
    return models.BigIntegerField(default=0)


def sums() -> list[tuple[str, models.Field[Any, Any]]]:
    """What a run and each of the sums by day add up of their calls."""
    return [
        ("calls", count()),
        ("failed_calls", models.BigIntegerField(default=0, help_text="Failed, abandoned or cancelled.")),
        ("estimated_calls", count()),
        ("unpriced_calls", count()),
        ("local_cache_hits", count()),
        ("input_tokens", models.BigIntegerField(default=0, verbose_name="Input tokens")),
        ("output_tokens", models.BigIntegerField(default=0, verbose_name="Output tokens")),
        ("cache_read_tokens", count()),
        ("cache_write_5m_tokens", count()),
        ("cache_write_1h_tokens", count()),
        ("cache_write_unknown_tokens", count()),
        ("reasoning_tokens", count()),
        ("input_audio_tokens", count()),
        ("output_audio_tokens", count()),
        ("cost_microcents", count()),
        ("saved_microcents", count()),
    ]


def name_field(**options: Any) -> models.Field[Any, Any]:
    """A name that came from outside; the wire has the same bound."""
    return models.CharField(max_length=200, **options)


def of_workspace(**options: Any) -> tuple[str, models.Field[Any, Any]]:
    return (
        "workspace",
        models.ForeignKey(to="agents.workspace", **{"on_delete": PROTECT, "related_name": "+"} | options),
    )


def of_agent(**options: Any) -> tuple[str, models.Field[Any, Any]]:
    return ("agent", models.ForeignKey(to="agents.agent", **{"on_delete": PROTECT, "related_name": "+"} | options))


def user_field(**options: Any) -> models.Field[Any, Any]:
    return models.ForeignKey(
        to=settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=SET_NULL, related_name="+", **options
    )


def created_at(**options: Any) -> tuple[str, models.Field[Any, Any]]:
    return ("created_at", models.DateTimeField(default=django.utils.timezone.now, **options))


def archived_at(**options: Any) -> tuple[str, models.Field[Any, Any]]:
    return ("archived_at", models.DateTimeField(null=True, blank=True, **options))


def per_million(label: str, otherwise: str = "") -> models.Field[Any, Any]:
    return models.DecimalField(
        verbose_name=label,
        max_digits=18,
        decimal_places=8,
        null=True,
        blank=True,
        validators=[
            MinValueValidator(0),
            MaxValueValidator(100_000, "At most 100,000 USD: enter the price of a million tokens, in USD."),
        ],
        help_text="USD per million tokens." + (f" Empty: as {otherwise}." if otherwise else ""),
    )


PEOPLE = [
    migrations.CreateModel(
        name="Workspace",
        fields=[
            id_field(),
            ("slug", models.SlugField(max_length=64, unique=True)),
            ("name", name_field()),
            (
                "hash_key",
                models.CharField(
                    max_length=64,
                    default=agents.models.people.new_hash_key,
                    editable=False,
                    help_text="Keys the hashes of prompts that this workspace's agents send in place of text.",
                ),
            ),
            created_at(editable=False),
            archived_at(),
        ],
        options={"ordering": ["name"]},
    ),
    migrations.CreateModel(
        name="Membership",
        fields=[
            id_field(),
            ("user", models.ForeignKey(to=settings.AUTH_USER_MODEL, on_delete=CASCADE, related_name="memberships")),
            of_workspace(on_delete=CASCADE, related_name="memberships"),
            (
                "role",
                models.CharField(max_length=10, choices=[("viewer", "Viewer"), ("owner", "Owner")], default="viewer"),
            ),
            created_at(editable=False),
        ],
        options={
            "ordering": ["workspace", "user"],
            "constraints": [
                models.UniqueConstraint(fields=["user", "workspace"], name="one_membership_per_workspace"),
            ],
        },
    ),
    migrations.CreateModel(
        name="Agent",
        fields=[
            id_field(),
            of_workspace(related_name="agents"),
            (
                "slug",
                name_field(
                    help_text="The name its code reports under.",
                    validators=[RegexValidator(r"^[^\x00/?#\\]+$", "An agent's slug has no slashes, ? or #.")],
                ),
            ),
            ("name", name_field(blank=True, help_text="Shown to people; empty: the slug.")),
            (
                "effort",
                models.CharField(
                    max_length=10,
                    choices=[("", "Not set"), ("low", "Low"), ("medium", "Medium"), ("high", "High")],
                    default="",
                    blank=True,
                    help_text="Shown on pages and told to clients with each Receipt; the agent's code does not follow it"
                    " by itself.",
                ),
            ),
            (
                "default_model",
                name_field(
                    blank=True,
                    help_text="Shown on pages, told to clients with each Receipt and priced for their leases; the"
                    " agent's code does not follow it by itself.",
                ),
            ),
            ("owner", user_field()),
            (
                "active",
                models.BooleanField(
                    default=True,
                    help_text="Otherwise it is marked as inactive on pages and to clients with each Receipt. It runs and"
                    " is recorded all the same; only a budget stops it.",
                ),
            ),
            created_at(editable=False),
            ("last_run_at", models.DateTimeField(null=True, blank=True, editable=False)),
            archived_at(),
        ],
        options={
            "ordering": ["workspace", "slug"],
            "constraints": [models.UniqueConstraint(fields=["workspace", "slug"], name="one_agent_per_slug")],
        },
    ),
    migrations.CreateModel(
        name="ApiKey",
        fields=[
            id_field(),
            of_workspace(related_name="api_keys"),
            of_agent(
                null=True,
                blank=True,
                related_name="api_keys",
                help_text="When set, the key can report and read this agent only.",
            ),
            ("name", name_field(blank=True)),
            ("prefix", models.CharField(max_length=16, unique=True, editable=False)),
            ("key_hash", models.CharField(max_length=64, editable=False)),
            ("scopes", models.JSONField(default=list)),
            ("created_by", user_field(editable=False)),
            created_at(editable=False),
            ("last_used_at", models.DateTimeField(null=True, blank=True, editable=False)),
            archived_at(verbose_name="revoked at"),
        ],
        options={"verbose_name": "API key", "ordering": ["-created_at"]},
    ),
    migrations.CreateModel(
        name="Client",
        fields=[
            id_field(),
            of_workspace(on_delete=CASCADE, related_name="clients"),
            ("client_id", models.UUIDField()),
            ("host", name_field(blank=True)),
            ("pid", models.PositiveIntegerField(default=0)),
            ("versions", models.JSONField(default=dict)),
            ("spool_events", count()),
            ("spool_bytes", count()),
            ("dropped", models.JSONField(default=dict)),
            ("rejected_events", count()),
            ("first_seen_at", models.DateTimeField(default=django.utils.timezone.now)),
            ("last_seen_at", models.DateTimeField(default=django.utils.timezone.now, db_index=True)),
        ],
        options={
            "constraints": [models.UniqueConstraint(fields=["workspace", "client_id"], name="one_client_per_id")],
        },
    ),
]

RUNS_AND_CALLS = [
    migrations.CreateModel(
        name="LedgerState",
        fields=[
            id_field(),
            ("time_zone", models.CharField(max_length=64)),
            (
                "retained_from",
                models.DateField(null=True, help_text="The first day whose calls are kept; empty: all of them."),
            ),
        ],
        options={
            "verbose_name_plural": "ledger state",
            "constraints": [models.CheckConstraint(name="only_one_ledger_state", condition=Q(pk=1))],
        },
    ),
    migrations.CreateModel(
        name="AgentRunLog",
        fields=[
            id_field(),
            *sums(),
            of_workspace(db_index=False),
            of_agent(related_name="runs", db_index=False),
            ("run_id", models.UUIDField()),
            ("langchain_run_id", models.UUIDField(null=True)),
            ("parent_run_id", models.UUIDField(null=True)),
            (
                "started_at",
                models.DateTimeField(help_text="The earliest start that the run, its calls and its refusals report."),
            ),
            (
                "reported_started_at",
                models.DateTimeField(null=True, help_text="As the run's own events have it; empty until one came."),
            ),
            ("ended_at", models.DateTimeField(null=True)),
            ("day", models.DateField(help_text="Of its start, in the ledger's time zone.")),
            (
                "status",
                models.CharField(
                    max_length=10,
                    choices=[
                        ("running", "Running"),
                        ("ok", "OK"),
                        ("error", "Failed"),
                        ("cancelled", "Cancelled"),
                        ("refused", "Refused"),
                    ],
                    default="running",
                ),
            ),
            ("error_type", name_field(blank=True)),
            ("thread_id", name_field(blank=True)),
            ("tags", models.JSONField(default=list)),
            ("refused_calls", count()),
        ],
        options={
            "verbose_name": "run",
            "constraints": [models.UniqueConstraint(fields=["workspace", "run_id"], name="one_run_per_id")],
            "indexes": [
                models.Index(F("workspace"), F("started_at").desc(), F("id").desc(), name="run_by_workspace"),
                models.Index(F("agent"), F("started_at").desc(), F("id").desc(), name="run_by_agent"),
                models.Index(fields=["started_at", "id"], name="run_by_time"),
                models.Index(
                    F("workspace"), F("status"), F("started_at").desc(), F("id").desc(), name="run_by_workspace_status"
                ),
                models.Index(
                    F("agent"), F("status"), F("started_at").desc(), F("id").desc(), name="run_by_agent_status"
                ),
                models.Index(fields=["status", "started_at", "id"], name="run_by_status"),
            ],
        },
    ),
    migrations.CreateModel(
        name="LLMCall",
        fields=[
            id_field(),
            of_workspace(db_index=False),
            of_agent(db_index=False),
            (
                "client",
                models.ForeignKey(to="agents.client", null=True, on_delete=SET_NULL, related_name="+", db_index=False),
            ),
            ("call_id", models.UUIDField()),
            ("run_id", models.UUIDField()),
            ("langchain_run_id", models.UUIDField(null=True)),
            ("lease_id", models.UUIDField(null=True)),
            ("call_index", models.PositiveIntegerField(default=0)),
            ("step", name_field(blank=True)),
            ("sub_agent", name_field(blank=True)),
            ("purpose", models.CharField(max_length=10, default="agent")),
            ("provider", name_field(blank=True)),
            (
                "model",
                name_field(blank=True, help_text="What rollups and pages name it: the model that answered."),
            ),
            ("request_model", name_field(blank=True)),
            ("response_model", name_field(blank=True)),
            ("service_tier", name_field(blank=True)),
            ("effort", name_field(blank=True)),
            ("started_at", models.DateTimeField()),
            ("ended_at", models.DateTimeField()),
            (
                "reported_started_at",
                models.DateTimeField(null=True, help_text="As the client's clock had it, where that was corrected."),
            ),
            ("received_at", models.DateTimeField()),
            ("day", models.DateField(help_text="Of its start, in the ledger's time zone.")),
            (
                "status",
                models.CharField(
                    max_length=10,
                    choices=[
                        ("ok", "OK"),
                        ("error", "Failed"),
                        ("abandoned", "Abandoned"),
                        ("cancelled", "Cancelled"),
                    ],
                ),
            ),
            ("error_type", name_field(blank=True)),
            ("input_tokens", models.BigIntegerField(verbose_name="Input tokens")),
            ("output_tokens", models.BigIntegerField(verbose_name="Output tokens")),
            ("cache_read_tokens", count()),
            ("cache_write_5m_tokens", count()),
            ("cache_write_1h_tokens", count()),
            ("cache_write_unknown_tokens", count()),
            ("reasoning_tokens", count()),
            ("input_audio_tokens", count()),
            ("output_audio_tokens", count()),
            (
                "usage_basis",
                models.CharField(
                    max_length=10,
                    choices=[("measured", "Measured"), ("estimated", "Estimated")],
                    default="measured",
                    help_text="Whether the provider reported the tokens; with or without a price.",
                ),
            ),
            (
                "tokens_from",
                models.CharField(
                    max_length=10,
                    choices=[
                        ("", "The client"),
                        ("median", "The median of the agent's recent calls"),
                        ("nothing", "Not known, counted as 0"),
                    ],
                    blank=True,
                    help_text="Where a total came from that the client could not tell.",
                ),
            ),
            ("served_from_local_cache", models.BooleanField(default=False)),
            (
                "provisional",
                models.BooleanField(
                    default=False, help_text="A measured event for the same call may still replace it, once."
                ),
            ),
            (
                "cost_basis",
                models.CharField(
                    max_length=10,
                    choices=[("measured", "Measured"), ("estimated", "Estimated"), ("unpriced", "Unpriced")],
                ),
            ),
            ("cost_microcents", models.BigIntegerField(null=True, help_text="Empty only when unpriced.")),
            ("saved_microcents", count()),
            ("price_source", models.CharField(max_length=100, blank=True)),
            ("max_output_tokens", models.BigIntegerField(null=True)),
            ("time_to_first_token_seconds", models.FloatField(null=True)),
            ("prompt_messages", models.PositiveIntegerField(default=0)),
            ("prompt_hash", models.CharField(max_length=64, blank=True)),
            ("tool_calls", models.JSONField(default=list)),
            ("thread_id", name_field(blank=True)),
            ("tags", models.JSONField(default=list)),
        ],
        options={
            "verbose_name": "model call",
            "constraints": [
                models.UniqueConstraint(fields=["workspace", "call_id"], name="one_call_per_id"),
                models.CheckConstraint(
                    name="cached_within_input",
                    condition=Q(
                        input_tokens__gte=F("cache_read_tokens")
                        + F("cache_write_5m_tokens")
                        + F("cache_write_1h_tokens")
                        + F("cache_write_unknown_tokens")
                    ),
                ),
                models.CheckConstraint(
                    name="audio_within_totals",
                    condition=Q(input_tokens__gte=F("input_audio_tokens"), output_tokens__gte=F("output_audio_tokens")),
                ),
                models.CheckConstraint(
                    name="reasoning_within_output", condition=Q(output_tokens__gte=F("reasoning_tokens"))
                ),
                models.CheckConstraint(
                    name="only_unpriced_has_no_cost",
                    condition=Q(cost_basis="unpriced", cost_microcents=None)
                    | (~Q(cost_basis="unpriced") & Q(cost_microcents__isnull=False)),
                ),
            ],
            "indexes": [
                models.Index(fields=["workspace", "run_id"], name="call_by_run"),
                models.Index(fields=["workspace", "day"], name="call_by_day"),
                models.Index(
                    fields=["workspace", "model", "day"], name="call_unpriced", condition=Q(cost_basis="unpriced")
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="ReportedRefusal",
        fields=[
            id_field(),
            of_workspace(db_index=False),
            of_agent(db_index=False),
            ("refusal_id", models.UUIDField()),
            ("run_id", models.UUIDField()),
            ("kind", models.CharField(max_length=10)),
            ("refused_at", models.DateTimeField()),
            ("day", models.DateField(help_text="Of the refusal, in the ledger's time zone.")),
            ("count", models.BigIntegerField()),
            (
                "policy_id",
                models.BigIntegerField(null=True, help_text="Of the budget that refused, as the client names it."),
            ),
        ],
        options={
            "constraints": [models.UniqueConstraint(fields=["workspace", "refusal_id"], name="one_refusal_per_id")],
            "indexes": [
                models.Index(fields=["workspace", "run_id"], name="refusal_by_run"),
                models.Index(fields=["workspace", "day"], name="refusal_by_day"),
            ],
        },
    ),
]

DAYS = [
    migrations.CreateModel(
        name="UsageDay",
        fields=[
            id_field(),
            *sums(),
            of_workspace(db_index=False),
            ("day", models.DateField()),
            of_agent(db_index=False),
            ("provider", name_field(blank=True)),
            ("model", name_field(blank=True)),
            ("status", models.CharField(max_length=10)),
            ("effort", name_field(blank=True)),
        ],
        options={
            "constraints": [
                models.UniqueConstraint(
                    fields=["workspace", "day", "agent", "provider", "model", "status", "effort"],
                    name="one_usage_day_per_key",
                ),
            ],
            "indexes": [
                models.Index(
                    fields=["day", "workspace", "agent", "model", "cost_microcents", "unpriced_calls", "calls"],
                    name="usage_day_by_day",
                ),
                models.Index(fields=["agent", "day"], name="usage_day_by_agent"),
            ],
        },
    ),
    migrations.CreateModel(
        name="TagDay",
        fields=[
            id_field(),
            *sums(),
            of_workspace(db_index=False),
            ("day", models.DateField()),
            of_agent(db_index=False),
            ("tag", models.CharField(max_length=64)),
        ],
        options={
            "constraints": [
                models.UniqueConstraint(fields=["workspace", "day", "tag", "agent"], name="one_tag_day_per_key"),
            ],
        },
    ),
    migrations.CreateModel(
        name="WorkspaceDay",
        fields=[
            id_field(),
            *sums(),
            of_workspace(db_index=False),
            ("day", models.DateField()),
            ("runs", count()),
        ],
        options={"constraints": [models.UniqueConstraint(fields=["workspace", "day"], name="one_workspace_day")]},
    ),
]

PRICES = [
    migrations.CreateModel(
        name="PriceListState",
        fields=[
            id_field(),
            ("mark", models.UUIDField()),
            (
                "swept",
                models.CharField(
                    max_length=150,
                    blank=True,
                    help_text="The mark and the price library that unpriced calls were last repriced by.",
                ),
            ),
        ],
        options={"constraints": [models.CheckConstraint(name="only_one_price_list_state", condition=Q(pk=1))]},
    ),
    migrations.CreateModel(
        name="ModelPrice",
        fields=[
            id_field(),
            of_workspace(
                null=True,
                blank=True,
                help_text="Empty: for every workspace. A workspace's own price wins over one for every workspace.",
            ),
            (
                "provider",
                name_field(
                    blank=True,
                    help_text="As the calls name it, such as openai, bedrock or ollama. Empty: whoever offers the model.",
                ),
            ),
            (
                "model",
                name_field(
                    help_text="As the calls name it. A * at the end stands for the rest: llama3* covers llama3.1:8b."
                ),
            ),
            (
                "kind",
                models.CharField(
                    max_length=10,
                    choices=[
                        ("priced", "Priced per million tokens"),
                        ("free", "It costs nothing"),
                        ("same_as", "Same price as another model"),
                    ],
                    default="priced",
                ),
            ),
            (
                "same_as_provider",
                name_field(
                    blank=True, help_text="Whose price of it. Empty: the provider of the call, else the model's maker."
                ),
            ),
            ("same_as_model", name_field(blank=True, help_text="The model whose price it has at the time.")),
            ("input_per_million", per_million("input")),
            ("output_per_million", per_million("output")),
            ("cache_read_per_million", per_million("cache read", "input")),
            ("cache_write_5m_per_million", per_million("cache write, 5 minutes", "input")),
            ("cache_write_1h_per_million", per_million("cache write, 1 hour", "cache write, 5 minutes")),
            ("reasoning_per_million", per_million("reasoning", "output")),
            ("input_audio_per_million", per_million("audio in", "input")),
            ("output_audio_per_million", per_million("audio out", "output")),
            (
                "effective_from",
                models.DateTimeField(
                    default=django.utils.timezone.now, help_text="Calls that began at this time or later have it."
                ),
            ),
            (
                "effective_to",
                models.DateTimeField(
                    null=True, blank=True, help_text="The first instant it no longer holds; empty: it holds."
                ),
            ),
            ("created_by", user_field(editable=False)),
            created_at(editable=False),
        ],
        options={
            "ordering": ["provider", "model", "-effective_from"],
            "constraints": [
                models.CheckConstraint(
                    name="price_ends_after_it_begins",
                    condition=Q(effective_to=None) | Q(effective_to__gt=F("effective_from")),
                ),
                models.CheckConstraint(
                    name="price_says_what_its_kind_needs",
                    condition=Q(kind="free")
                    | Q(kind="same_as") & ~Q(same_as_model="")
                    | Q(kind="priced", input_per_million__isnull=False, output_per_million__isnull=False),
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="CostCorrection",
        fields=[
            id_field(),
            ("repricing_id", models.UUIDField(help_text="One per repricing; its corrections share it.")),
            of_workspace(),
            of_agent(),
            ("day", models.DateField()),
            ("provider", name_field(blank=True)),
            ("model", name_field(blank=True)),
            ("calls", count()),
            (
                "newly_priced_calls",
                models.BigIntegerField(default=0, help_text="Had no cost before: it was not known."),
            ),
            (
                "no_longer_priced_calls",
                models.BigIntegerField(default=0, help_text="Have no cost after: it is not known."),
            ),
            ("cost_before_microcents", count()),
            ("cost_after_microcents", count()),
            ("reason", name_field()),
            created_at(),
        ],
        options={
            "ordering": ["-created_at", "-id"],
            "constraints": [
                models.UniqueConstraint(
                    fields=["repricing_id", "workspace", "agent", "day", "provider", "model"],
                    name="one_correction_per_repricing_and_key",
                ),
            ],
        },
    ),
]


class Migration(migrations.Migration):
    initial = True
    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]
    operations = [*PEOPLE, *RUNS_AND_CALLS, *DAYS, *PRICES]

"""Sums by month, filled from those by day: days whose calls retention has let go of have no others."""

from typing import Any

import django.db.models.deletion
from django.db import migrations, models

SUMS = (
    "calls, failed_calls, estimated_calls, unpriced_calls, local_cache_hits, input_tokens, output_tokens,"
    " cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, cache_write_unknown_tokens, reasoning_tokens,"
    " input_audio_tokens, output_audio_tokens, cost_microcents, saved_microcents"
)
MONTH = {"sqlite": "date(day, 'start of month')", "postgresql": "date_trunc('month', day)::date"}


def fill(apps: Any, schema_editor: Any) -> None:
    month = MONTH[schema_editor.connection.vendor]
    added = ", ".join(f"SUM({column})" for column in SUMS.split(", "))
    for name, key in (("usage", "workspace_id, agent_id, provider, model, status, effort"),
                      ("tag", "workspace_id, agent_id, tag")):  # fmt: skip
        schema_editor.execute(
            f"INSERT INTO agents_{name}month (month, {key}, {SUMS})"
            f" SELECT {month}, {key}, {added} FROM agents_{name}day GROUP BY {month}, {key}"
        )


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0010_names_in_one_line"),
    ]

    operations = [
        migrations.CreateModel(
            name="TagMonth",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("calls", models.BigIntegerField(default=0)),
                ("failed_calls", models.BigIntegerField(default=0, help_text="Failed, abandoned or cancelled.")),
                ("estimated_calls", models.BigIntegerField(default=0)),
                ("unpriced_calls", models.BigIntegerField(default=0)),
                ("local_cache_hits", models.BigIntegerField(default=0)),
                ("input_tokens", models.BigIntegerField(default=0, verbose_name="Input tokens")),
                ("output_tokens", models.BigIntegerField(default=0, verbose_name="Output tokens")),
                ("cache_read_tokens", models.BigIntegerField(default=0)),
                ("cache_write_5m_tokens", models.BigIntegerField(default=0)),
                ("cache_write_1h_tokens", models.BigIntegerField(default=0)),
                ("cache_write_unknown_tokens", models.BigIntegerField(default=0)),
                ("reasoning_tokens", models.BigIntegerField(default=0)),
                ("input_audio_tokens", models.BigIntegerField(default=0)),
                ("output_audio_tokens", models.BigIntegerField(default=0)),
                ("cost_microcents", models.BigIntegerField(default=0)),
                ("saved_microcents", models.BigIntegerField(default=0)),
                ("month", models.DateField()),
                ("tag", models.CharField(max_length=64)),
                (
                    "agent",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="agents.agent"
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="agents.workspace",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["tag", "month", "agent"], name="tag_month_by_tag")],
                "constraints": [
                    models.UniqueConstraint(fields=("workspace", "month", "tag", "agent"), name="one_tag_month_per_key")
                ],
            },
        ),
        migrations.CreateModel(
            name="UsageMonth",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("calls", models.BigIntegerField(default=0)),
                ("failed_calls", models.BigIntegerField(default=0, help_text="Failed, abandoned or cancelled.")),
                ("estimated_calls", models.BigIntegerField(default=0)),
                ("unpriced_calls", models.BigIntegerField(default=0)),
                ("local_cache_hits", models.BigIntegerField(default=0)),
                ("input_tokens", models.BigIntegerField(default=0, verbose_name="Input tokens")),
                ("output_tokens", models.BigIntegerField(default=0, verbose_name="Output tokens")),
                ("cache_read_tokens", models.BigIntegerField(default=0)),
                ("cache_write_5m_tokens", models.BigIntegerField(default=0)),
                ("cache_write_1h_tokens", models.BigIntegerField(default=0)),
                ("cache_write_unknown_tokens", models.BigIntegerField(default=0)),
                ("reasoning_tokens", models.BigIntegerField(default=0)),
                ("input_audio_tokens", models.BigIntegerField(default=0)),
                ("output_audio_tokens", models.BigIntegerField(default=0)),
                ("cost_microcents", models.BigIntegerField(default=0)),
                ("saved_microcents", models.BigIntegerField(default=0)),
                ("month", models.DateField()),
                ("provider", models.CharField(blank=True, max_length=200)),
                ("model", models.CharField(blank=True, max_length=200)),
                ("status", models.CharField(max_length=10)),
                ("effort", models.CharField(blank=True, max_length=200)),
                (
                    "agent",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="agents.agent"
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="agents.workspace",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        fields=[
                            "month",
                            "model",
                            "provider",
                            "status",
                            "workspace",
                            "agent",
                            "cost_microcents",
                            "unpriced_calls",
                            "calls",
                        ],
                        name="usage_month_by_month",
                    ),
                    models.Index(fields=["agent", "month"], name="usage_month_by_agent"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("workspace", "month", "agent", "provider", "model", "status", "effort"),
                        name="one_usage_month_per_key",
                    )
                ],
            },
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]

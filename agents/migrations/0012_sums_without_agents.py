"""Sums by model and day by status too, and sums by tag and day whichever agents called: filled from those by agent, for
days whose calls retention has let go of have no others.
"""

import django.db.models.deletion
from django.db import migrations, models

SUMS = (
    "calls, failed_calls, estimated_calls, unpriced_calls, local_cache_hits, input_tokens, output_tokens,"
    " cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, cache_write_unknown_tokens, reasoning_tokens,"
    " input_audio_tokens, output_audio_tokens, cost_microcents, saved_microcents"
)
ADDED = ", ".join(f"SUM({column})" for column in SUMS.split(", "))


def filled(table: str, key: str, of: str) -> str:
    return f"INSERT INTO {table} ({key}, {SUMS}) SELECT {key}, {ADDED} FROM {of} GROUP BY {key}"


BY_MODEL = "workspace_id, day, provider, model"


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0011_months"),
    ]

    operations = [
        migrations.RunSQL("DELETE FROM agents_modelday", filled("agents_modelday", BY_MODEL, "agents_usageday")),
        migrations.RemoveConstraint(model_name="modelday", name="one_model_day_per_key"),
        migrations.RemoveIndex(model_name="modelday", name="model_day_by_day"),
        migrations.AddField(
            model_name="modelday",
            name="status",
            field=models.CharField(default="", max_length=10),
            preserve_default=False,
        ),
        migrations.AddConstraint(
            model_name="modelday",
            constraint=models.UniqueConstraint(
                fields=["workspace", "day", "provider", "model", "status"], name="one_model_day_per_key"
            ),
        ),
        migrations.AddIndex(
            model_name="modelday",
            index=models.Index(
                fields=["day", "model", "provider", "status", "workspace", "cost_microcents", "unpriced_calls", "calls"],
                name="model_day_by_day",
            ),
        ),
        # Behind the index: PostgreSQL makes none while rows that were written have yet to be checked.
        migrations.RunSQL(
            filled("agents_modelday", f"{BY_MODEL}, status", "agents_usageday"), "DELETE FROM agents_modelday"
        ),
        migrations.CreateModel(
            name="WorkspaceTagDay",
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
                ("day", models.DateField()),
                ("tag", models.CharField(max_length=64)),
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
                "constraints": [
                    models.UniqueConstraint(fields=["workspace", "day", "tag"], name="one_workspace_tag_day_per_key"),
                ],
            },
        ),
        migrations.RunSQL(
            filled("agents_workspacetagday", "workspace_id, day, tag", "agents_tagday"), migrations.RunSQL.noop
        ),
        migrations.AddIndex(
            model_name="workspacetagday",
            index=models.Index(fields=["tag", "day", "workspace"], name="workspace_tag_day_by_tag"),
        ),
    ]

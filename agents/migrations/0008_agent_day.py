"""Sums by agent and day alone, filled from those by model and status: days whose calls retention has let go of have no
others. The index of usage by agent no longer has to cover what they answer.
"""

import django.db.models.deletion
from django.db import migrations, models

SUMS = (
    "calls, failed_calls, estimated_calls, unpriced_calls, local_cache_hits, input_tokens, output_tokens,"
    " cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, cache_write_unknown_tokens, reasoning_tokens,"
    " input_audio_tokens, output_audio_tokens, cost_microcents, saved_microcents"
)
FILL = (
    f"INSERT INTO agents_agentday (workspace_id, day, agent_id, {SUMS})"
    f" SELECT workspace_id, day, agent_id, {', '.join(f'SUM({column})' for column in SUMS.split(', '))}"
    " FROM agents_usageday GROUP BY workspace_id, day, agent_id"
)


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0007_tag_day_by_tag"),
    ]

    operations = [
        migrations.CreateModel(
            name="AgentDay",
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
                (
                    "agent",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="agents.agent",
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
                "constraints": [
                    models.UniqueConstraint(fields=["workspace", "day", "agent"], name="one_agent_day_per_key"),
                ],
            },
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name="agentday",
            index=models.Index(
                fields=[
                    "agent",
                    "day",
                    "cost_microcents",
                    "unpriced_calls",
                    "calls",
                    "failed_calls",
                    "estimated_calls",
                ],
                name="agent_day_sums",
            ),
        ),
        migrations.AddIndex(model_name="agentday", index=models.Index(fields=["day"], name="agent_day_by_day")),
        migrations.RemoveIndex(model_name="usageday", name="usage_day_by_agent"),
        migrations.AddIndex(
            model_name="usageday", index=models.Index(fields=["agent", "day"], name="usage_day_by_agent")
        ),
    ]

"""Sums by provider, model and day, filled from those by agent and status: days whose calls retention has let go of have
no others. With them goes the index of what has no price.
"""

import django.db.models.deletion
from django.db import migrations, models

SUMS = (
    "calls, failed_calls, estimated_calls, unpriced_calls, local_cache_hits, input_tokens, output_tokens,"
    " cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, cache_write_unknown_tokens, reasoning_tokens,"
    " input_audio_tokens, output_audio_tokens, cost_microcents, saved_microcents"
)
KEY = "workspace_id, day, provider, model"
FILL = (
    f"INSERT INTO agents_modelday ({KEY}, {SUMS})"
    f" SELECT {KEY}, {', '.join(f'SUM({column})' for column in SUMS.split(', '))} FROM agents_usageday GROUP BY {KEY}"
)


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0008_agent_day"),
    ]

    operations = [
        migrations.CreateModel(
            name="ModelDay",
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
                ("provider", models.CharField(blank=True, max_length=200)),
                ("model", models.CharField(blank=True, max_length=200)),
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
                    models.UniqueConstraint(
                        fields=["workspace", "day", "provider", "model"], name="one_model_day_per_key"
                    ),
                ],
            },
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name="modelday",
            index=models.Index(
                fields=["day", "model", "provider", "workspace", "cost_microcents", "unpriced_calls", "calls"],
                name="model_day_by_day",
            ),
        ),
        migrations.RemoveIndex(model_name="usageday", name="usage_day_unpriced"),
        migrations.AddIndex(
            model_name="modelday",
            index=models.Index(
                fields=["day", "workspace"],
                name="model_day_unpriced",
                condition=models.Q(("unpriced_calls__gt", 0)),
            ),
        ),
    ]

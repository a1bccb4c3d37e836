"""Both indexes of usage by day cover all that pages ask of it, in an order that needs no sorting."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0005_usage_day_indexes"),
    ]

    operations = [
        migrations.RemoveIndex(model_name="usageday", name="usage_day_by_day"),
        migrations.RemoveIndex(model_name="usageday", name="usage_day_by_agent"),
        migrations.AddIndex(
            model_name="usageday",
            index=models.Index(
                fields=[
                    "day",
                    "model",
                    "provider",
                    "status",
                    "workspace",
                    "agent",
                    "cost_microcents",
                    "unpriced_calls",
                    "calls",
                ],
                name="usage_day_by_day",
            ),
        ),
        migrations.AddIndex(
            model_name="usageday",
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
                name="usage_day_by_agent",
            ),
        ),
    ]

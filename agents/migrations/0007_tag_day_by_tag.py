"""A tag's days over all workspaces are found without reading those of every other tag."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0006_usage_day_indexes_that_cover"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="tagday",
            index=models.Index(fields=["tag", "day", "agent"], name="tag_day_by_tag"),
        ),
    ]

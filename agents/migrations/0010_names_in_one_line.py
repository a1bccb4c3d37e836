"""Names are one line of characters that can be seen. Forms ask for it; nothing in the database changes."""

from django.core.validators import RegexValidator
from django.db import migrations, models

from agents.names import validate_name


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0009_model_day"),
    ]

    operations = [
        migrations.AlterField(
            model_name="agent",
            name="default_model",
            field=models.CharField(
                blank=True,
                help_text="Shown on pages, told to clients with each Receipt and priced for their leases; the agent's code does not follow it by itself.",
                max_length=200,
                validators=[validate_name],
            ),
        ),
        migrations.AlterField(
            model_name="agent",
            name="name",
            field=models.CharField(
                blank=True, help_text="Shown to people; empty: the slug.", max_length=200, validators=[validate_name]
            ),
        ),
        migrations.AlterField(
            model_name="agent",
            name="slug",
            field=models.CharField(
                help_text="The name its code reports under.",
                max_length=200,
                validators=[
                    RegexValidator("^[^\\x00/?#\\\\]+$", "An agent's slug has no slashes, ? or #."),
                    validate_name,
                ],
            ),
        ),
        migrations.AlterField(
            model_name="workspace",
            name="name",
            field=models.CharField(max_length=200, validators=[validate_name]),
        ),
    ]

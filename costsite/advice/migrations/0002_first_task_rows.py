"""The three rows that every site begins with; people edit them."""

from django.db import migrations

ROWS = (
    ("formatting", "Code formatting", "low", "small"),
    ("bug-fix", "Bug fixes", "medium", "mid"),
    ("architecture", "Architecture decisions", "high", "top"),
)


def add(apps, schema_editor):
    rows = apps.get_model("advice", "TaskRow").objects.using(schema_editor.connection.alias)
    for task, name, effort, tier in ROWS:
        rows.get_or_create(task=task, defaults={"name": name, "effort": effort, "tier": tier})


class Migration(migrations.Migration):
    dependencies = [("advice", "0001_advice")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]

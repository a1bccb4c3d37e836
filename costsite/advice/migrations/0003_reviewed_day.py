"""What the review makes of an agent's day is named for the review: an agent's day is what it used."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("advice", "0002_first_task_rows"),
        # The model's content type is renamed with it: without this, back from here it is looked for as it was before.
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [
        migrations.RemoveConstraint(model_name="agentday", name="one_agent_day"),
        migrations.RenameModel(old_name="AgentDay", new_name="ReviewedDay"),
        migrations.RenameIndex(
            model_name="reviewedday", old_name="agent_day_by_agent", new_name="reviewed_day_by_agent"
        ),
        migrations.AddConstraint(
            model_name="reviewedday",
            constraint=models.UniqueConstraint(fields=["workspace", "day", "agent"], name="one_reviewed_day"),
        ),
    ]

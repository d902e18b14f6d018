from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("models_app", "0007_usage_and_webhooks")]

    operations = [
        migrations.AddField(
            model_name="usagerecord",
            name="is_playground",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]

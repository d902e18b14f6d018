from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("models_app", "0011_stored_completions")]

    operations = [
        migrations.AddField(
            model_name="custommodel",
            name="student",
            field=models.CharField(
                choices=[("auto", "Auto"), ("generator", "Generator"), ("encoder", "Encoder")],
                default="generator",
                max_length=10,
            ),
        ),
    ]

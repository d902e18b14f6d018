from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("models_app", "0013_doubtful_rows")]

    operations = [
        migrations.AlterField(
            model_name="custommodel",
            name="status",
            field=models.CharField(
                choices=[
                    ("draft", "Draft"),
                    ("pending", "Pending"),
                    ("distilling", "Distilling"),
                    ("review", "Review"),
                    ("training", "Training"),
                    ("evaluating", "Evaluating"),
                    ("ready", "Ready"),
                    ("not_passed", "Built, not passed"),
                    ("undecided", "Built, undecided"),
                    ("needs_data", "Needs Data"),
                    ("failed", "Failed"),
                    ("cancelled", "Cancelled"),
                ],
                default="pending",
                max_length=20,
            ),
        ),
    ]

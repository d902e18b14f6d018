import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import models_app.webhooks.rows
import modelstation.core.encrypted
import modelstation.core.tenancy

UUID = {
    "default": modelstation.core.tenancy.new_id,
    "editable": False,
    "primary_key": True,
    "serialize": False,
}
ORG = {
    "on_delete": django.db.models.deletion.CASCADE,
    "related_name": "+",
    "to": "accounts.organization",
}


def name_what_was_counted(apps, schema_editor):
    """Until now every record was of a version."""
    records = apps.get_model("models_app", "UsageRecord").objects
    versions = apps.get_model("models_app", "ModelVersion").objects.filter(usage__isnull=False)
    for version in versions.select_related("model").distinct():
        records.filter(version=version).update(org_id=version.org_id, model=version.model.slug)


def forget_what_bases_used(apps, schema_editor):
    """Before, there was no place for it."""
    apps.get_model("models_app", "UsageRecord").objects.filter(version=None).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_end_mails"),
        ("models_app", "0006_contracts"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            "usagerecord", "org", models.ForeignKey(null=True, **ORG)
        ),
        migrations.AddField(
            "usagerecord", "model", models.CharField(default="", max_length=80), preserve_default=False
        ),
        migrations.AddField("usagerecord", "cached_tokens", models.PositiveIntegerField(default=0)),
        migrations.AlterField(
            "usagerecord",
            "version",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="usage",
                to="models_app.modelversion",
            ),
        ),
        migrations.RunPython(name_what_was_counted, forget_what_bases_used),
        # The rows just written wait for their foreign keys' checks; altering needs that done.
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE", migrations.RunSQL.noop),
        migrations.AlterField("usagerecord", "org", models.ForeignKey(**ORG)),
        migrations.AddIndex(
            "usagerecord", models.Index(fields=["org", "created_at"], name="usage_of_org_by_time")
        ),
        migrations.CreateModel(
            "UsageLimit",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("requests_per_minute", models.PositiveIntegerField(blank=True, null=True)),
                ("tokens_per_day", models.PositiveBigIntegerField(blank=True, null=True)),
                (
                    "org",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="usage_limit",
                        to="accounts.organization",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            "UsageCounter",
            [
                ("key", models.CharField(max_length=80, primary_key=True, serialize=False)),
                ("window", models.BigIntegerField()),
                ("count", models.BigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            "WebhookEndpoint",
            [
                ("id", models.UUIDField(**UUID)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("name", models.CharField(blank=True, max_length=80)),
                ("url", models.URLField(max_length=500)),
                (
                    "events",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=40),
                        default=models_app.webhooks.rows.every_event,
                        size=None,
                    ),
                ),
                ("is_enabled", models.BooleanField(default=True)),
                ("disabled_reason", models.CharField(blank=True, max_length=200)),
                ("secret", modelstation.core.encrypted.EncryptedField()),
                ("secret_hint", models.CharField(max_length=20)),
                ("old_secret", modelstation.core.encrypted.EncryptedField(blank=True, default="")),
                ("old_secret_until", models.DateTimeField(blank=True, null=True)),
                ("failing_since", models.DateTimeField(blank=True, null=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("org", models.ForeignKey(**ORG)),
            ],
            options={"ordering": ["-created_at"]},
        ),
        migrations.CreateModel(
            "WebhookDelivery",
            [
                ("id", models.UUIDField(**UUID)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("event_id", models.CharField(max_length=40)),
                ("cause", models.CharField(max_length=80)),
                ("type", models.CharField(max_length=40)),
                ("body", models.TextField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("delivered", "Delivered"),
                            ("given_up", "Given Up"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("next_try_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("tried_at", models.DateTimeField(blank=True, null=True)),
                ("status_code", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("response", models.TextField(blank=True)),
                ("error", models.CharField(blank=True, max_length=300)),
                (
                    "endpoint",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="models_app.webhookendpoint",
                    ),
                ),
                ("org", models.ForeignKey(**ORG)),
            ],
            options={
                "verbose_name_plural": "webhook deliveries",
                "ordering": ["-created_at"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "waiting")),
                        fields=["next_try_at"],
                        name="webhooks_that_wait",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("endpoint", "cause"), name="one_delivery_per_cause"
                    )
                ],
            },
        ),
    ]

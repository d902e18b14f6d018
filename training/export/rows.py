"""Rows of exports: one download each, and its pushes to the hub."""

from typing import Any

from django.db import models
from django.utils import timezone

from accounts.models import User
from distillation.pushes.rows import HubPush
from models_app.models import ModelVersion
from modelstation.core.encrypted import EncryptedField
from modelstation.core.models import Job
from modelstation.core.tenancy import OrgOwned


class Export(OrgOwned):
    """One bundle of a version's artifacts with its papers. Its state is its job's; the file is
    there, in `folder`, once that succeeded and until it expires.
    """

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="exports")
    job = models.OneToOneField(
        Job, on_delete=models.SET_NULL, null=True, related_name="version_export"
    )
    artifacts = models.JSONField(default=list)  # names of training.export.bundle.artifacts
    expected_bytes = models.BigIntegerField(default=0)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    # Its result; empty until it succeeded.
    folder = models.CharField(max_length=300, blank=True)  # under settings.ARTIFACTS_DIR
    file_name = models.CharField(max_length=200, blank=True)
    file_bytes = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    manifest = models.JSONField(default=dict)
    certificate = models.JSONField(default=dict)
    expires_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"export of {self.version}"

    @property
    def is_live(self) -> bool:
        return self.job is not None and self.job.is_live

    @property
    def is_certified(self) -> bool:
        return bool(self.certificate.get("verdict") == "pass")

    @property
    def is_there(self) -> bool:
        """Is there a file to download?"""
        return (
            bool(self.folder) and self.expires_at is not None and self.expires_at > timezone.now()
        )


class ExportPush(HubPush):
    """One push of an export to a model repository of the hub."""

    what, job_kind, repo_type = "export", "push_export", "model"
    no_token_hint = "Give one with the push, or let an admin store one on the settings page."

    export = models.ForeignKey(Export, on_delete=models.CASCADE, related_name="pushes")
    job = models.OneToOneField(
        Job, on_delete=models.SET_NULL, null=True, related_name="export_push"
    )
    # Given with this one push, and forgotten when it ends; empty: the organisation's own.
    token = EncryptedField(blank=True)

    class Meta(HubPush.Meta):
        verbose_name_plural = "export pushes"

    def __str__(self) -> str:
        return f"{self.export_id} to {self.repo_id}"

    @property
    def sealed_token(self) -> Any:
        return self.token or super().sealed_token

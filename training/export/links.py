"""Signed links to an export's file: they work without a login and die with the export."""

import uuid
from datetime import timedelta

from django.conf import settings
from django.core import signing
from django.http import Http404
from django.urls import reverse
from rest_framework.exceptions import PermissionDenied

from training.export.services import file_of
from training.models import Export

SALT = "modelstation.export"
EXPIRED = "This link has expired. Make a new one on the export's page, or by GET of the export."
FORGED = "This link is not one that this installation made."
GONE = "This export was deleted, or its file has expired. Export the version again."


def link_path(export: Export) -> str:
    """Of a file that is there."""
    token = signing.dumps([str(export.pk), str(export.org_id)], salt=SALT)
    return reverse("api_export_download", args=[token, export.file_name])


def export_by_token(token: str) -> Export:
    """Raise PermissionDenied for a link that is none or has expired, Http404 for a file that is
    gone.
    """
    hours = timedelta(hours=settings.EXPORT_LINK_HOURS)
    try:
        export_id, org_id = signing.loads(token, salt=SALT, max_age=hours)
    except signing.SignatureExpired as error:
        raise PermissionDenied(EXPIRED) from error
    except (signing.BadSignature, ValueError, TypeError) as error:
        raise PermissionDenied(FORGED) from error
    exports = Export.objects.select_related("org", "version__model")
    export: Export | None = exports.filter(id=uuid.UUID(export_id), org_id=org_id).first()
    if export is None or not export.is_there or not file_of(export).is_file():
        raise Http404(GONE)
    return export

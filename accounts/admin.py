"""For operators: who is here, in which organisation, with which keys; and what was done by whom."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from accounts import models, services
from modelstation.core.jobs.admin_actions import ReadOnly

FLAGS = ["is_active", "is_staff", "is_superuser"]


class MembershipInline(admin.TabularInline):  # type: ignore[type-arg]
    model = models.Membership
    extra = 0
    autocomplete_fields = ["user", "org"]


class ReadOnlyAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    pass


@admin.register(models.User)
class UserAdmin(BaseUserAdmin):  # type: ignore[type-arg]
    ordering = ["email"]
    list_display = ["email", *FLAGS, "date_joined", "last_login"]
    list_filter = ["is_active", "is_staff", "date_joined"]
    search_fields = ["email", "first_name", "last_name"]
    inlines = [MembershipInline]
    add_form = AdminUserCreationForm
    add_fieldsets = [(None, {"fields": ["email", "usable_password", "password1", "password2"]})]
    fieldsets = [
        (None, {"fields": ["email", "password"]}),
        ("Person", {"fields": ["first_name", "last_name"]}),
        ("May", {"fields": [*FLAGS, "groups", "user_permissions"]}),
        ("When", {"fields": ["last_login", "date_joined"]}),
    ]


class OrganizationAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Registered in training.admin, which knows how to delete one with all that is its own."""

    list_display = ["name", "slug", "member_count", "created_at"]
    list_filter = ["created_at"]
    search_fields = ["name", "slug", "memberships__user__email"]
    readonly_fields = ["created_at", "hub_token_hint"]
    exclude = ["hub_token"]
    inlines = [MembershipInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.Organization]:
        orgs: QuerySet[models.Organization] = super().get_queryset(request)
        return orgs.annotate(member_count=Count("memberships"))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """In a sentence each: their rows may be hundreds of thousands. What operators may only look
        at else goes with its organisation.
        """
        what = (
            "its models, versions, datasets, uploads, exports, tokens and audit, with their files"
        )
        lines = [f"{org}: {what}. Its members stay users." for org in objs]
        return lines, {"organizations": len(lines)}, set(), []

    @admin.display(description="members", ordering="member_count")
    def member_count(self, org: models.Organization) -> int:
        return int(org.member_count)  # type: ignore[attr-defined]


@admin.register(models.ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    """Operators see that a token is there and may revoke it; its hash is nobody's business."""

    list_display = ["name", "prefix", "org", "user", "created_at", "last_used_at", "revoked_at"]
    list_filter = ["created_at", ("revoked_at", admin.EmptyFieldListFilter)]
    search_fields = ["name", "prefix", "org__name", "user__email"]
    list_select_related = ["org", "user"]
    exclude = ["digest"]
    actions = ["revoke"]

    @admin.action(description="Revoke the selected tokens")
    def revoke(self, request: HttpRequest, tokens: QuerySet[models.ApiToken]) -> None:
        assert isinstance(request.user, models.User)
        for token in tokens.select_related("org"):
            services.revoke_token(actor=request.user, token=token)
        messages.success(request, "The tokens were revoked.")


@admin.register(models.Invitation)
class InvitationAdmin(ReadOnlyAdmin):
    list_display = ["email", "org", "role", "invited_by", "expires_at", "accepted_at"]
    list_filter = ["role", ("accepted_at", admin.EmptyFieldListFilter)]
    search_fields = ["email", "org__name"]
    list_select_related = ["org", "invited_by"]
    exclude = ["digest"]


@admin.register(models.AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "org", "actor", "action", "target"]
    list_filter = ["action", "created_at"]
    search_fields = ["target", "action", "org__name", "actor__email"]
    list_select_related = ["org", "actor"]
    date_hierarchy = "created_at"


@admin.register(models.EndMail)
class EndMailAdmin(ReadOnlyAdmin):
    """Which e-mails wait, were sent or were given up."""

    list_display = ["user", "org", "job", "state", "attempts", "next_try_at", "created_at"]
    list_filter = ["state", "created_at"]
    list_select_related = ["user", "org", "job"]
    search_fields = ["user__email", "org__name", "job__id"]

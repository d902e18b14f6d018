"""WHO: users, organisations, their members, and the tokens of their programs."""

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from modelstation.core.encrypted import EncryptedField
from modelstation.core.models import Job
from modelstation.core.tenancy import OrgOwned, new_id


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractUser):
    username = None  # type: ignore[assignment]
    email = models.EmailField(unique=True)
    mail_when_built = models.BooleanField(default=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects = UserManager()  # type: ignore[assignment, misc]

    def __str__(self) -> str:
        return self.email

    def clean(self) -> None:
        """One address is one user, however it is capitalised."""
        super().clean()
        self.email = self.email.lower()


class Organization(models.Model):
    class LicensePolicy(models.TextChoices):
        ANY = "any", "Any stated licence"
        PERMISSIVE = "permissive", "Permissive licences only"
        NAMED = "named", "Only the licences I name"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=60, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    members = models.ManyToManyField(User, through="Membership", related_name="organizations")
    # Which rows may come into its datasets; what the kinds mean: distillation.pipeline.licenses.
    license_policy = models.CharField(
        max_length=10, choices=LicensePolicy.choices, default=LicensePolicy.ANY
    )
    license_names = ArrayField(models.CharField(max_length=80), default=list, blank=True)
    allow_unknown_license = models.BooleanField(default=False)
    # With which its datasets are pushed to the hub. The hint is all that is ever shown of it.
    hub_token = EncryptedField(blank=True, default="")
    hub_token_hint = models.CharField(max_length=20, blank=True)
    # Whether requests to its models may have their answers stored, and for how many days.
    store_completions = models.BooleanField(default=True, db_default=True)
    stored_days = models.PositiveSmallIntegerField(default=30, db_default=30)
    # Whether its members may look for data on the hub, where the operator lets them.
    allow_hub_search = models.BooleanField(default=True, db_default=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    """Each role may do all that the roles after it may."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"

    def covers(self, needed: "Role") -> bool:
        return list(Role).index(self) <= list(Role).index(needed)


class Membership(models.Model):
    org = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(fields=["org", "user"], name="one_membership_per_user_and_org")
        ]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.org}"


class Invitation(OrgOwned):
    """An e-mail address that may join with a role. The link's secret is kept only as a hash."""

    email = models.EmailField()
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)
    digest = models.CharField(max_length=64, unique=True)
    invited_by = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.email} to {self.org}"

    @property
    def is_open(self) -> bool:
        return self.accepted_at is None and self.expires_at > timezone.now()


class ApiToken(OrgOwned):
    """A program's key: `ms_…`, shown once, kept as a sha256. It carries its organisation."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def is_active(self) -> bool:
        has_expired = self.expires_at is not None and self.expires_at <= timezone.now()
        return self.revoked_at is None and not has_expired


class AuditEntry(OrgOwned):
    """Append-only: who did what to which thing, written in the action's own transaction."""

    actor = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    action = models.CharField(max_length=60)
    target = models.CharField(max_length=200)
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ["-created_at"]
        verbose_name_plural = "audit entries"

    def __str__(self) -> str:
        return f"{self.action} {self.target}"


class EndMail(OrgOwned):
    """An e-mail on a job's end: made in the transaction that ends it, sent once, by a worker."""

    class State(models.TextChoices):
        WAITING = "waiting"
        SENT = "sent"
        UNWANTED = "unwanted"  # its reader has left, or wants no such e-mail
        GIVEN_UP = "given_up"

    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(
                fields=["next_try_at"], condition=models.Q(state="waiting"), name="mails_that_wait"
            )
        ]

    def __str__(self) -> str:
        return f"{self.job_id} to {self.user}"

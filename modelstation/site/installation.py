"""Put an installation in order: schema, weights, catalogue, corpus, schedules, demo organisation.

Every step does nothing where nothing is missing: running them again is quick and safe."""

import secrets
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from django_q.models import Schedule

from accounts.models import Organization, User
from accounts.services import create_organization, create_token
from distillation.models import SourceDataset
from models_app.bases.offers import mirror_catalogue
from models_app.drafts import DEFAULT_BASE, ModelDraft
from models_app.models import CustomModel
from modelstation.core.secret_files import kept_secret
from modelstation.lm.loading import ensure_offline_weights
from modelstation.site.job_kinds import SCHEDULED
from training.builds.services import create_model

MIN_POSTGRES = 150_000
MIN_PGVECTOR = (0, 8)
TOO_OLD = (
    "The database must be PostgreSQL 15 or newer with pgvector 0.8 or newer: install them there, "
    "or unset DATABASE_URL to use the embedded one."
)
DEMO_EMAIL = "demo@modelstation.local"
DEMO_ORG = "Demo"


def prepare_schema() -> None:
    check_database()
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)


def check_database() -> None:
    """Refuse a database that is too old, or without pgvector, before migrating it."""
    with connection.cursor() as cursor:
        server = cursor.connection.info.server_version
        cursor.execute("SELECT default_version FROM pg_available_extensions WHERE name = 'vector'")
        row = cursor.fetchone()
    vector = tuple(int(part) for part in row[0].split(".")) if row else ()
    if server < MIN_POSTGRES or vector < MIN_PGVECTOR:
        raise CommandError(TOO_OLD)


def prepare_weights() -> None:
    ensure_offline_weights(settings.MODELS_DIR)


def prepare_bases() -> None:
    """Weights that need no network, and one FoundationModel row per base of the catalogue."""
    prepare_weights()
    mirror_catalogue()


def prepare_schedules() -> None:
    """Workers started with run_worker send canaries and reap by themselves; others need these."""
    for planned in SCHEDULED:
        for suffix, delay in planned.starts:
            first = {
                "func": planned.task,
                "args": f"'{planned.argument}'" if planned.argument else None,
                "schedule_type": planned.every,
                "minutes": 1,
                "cluster": planned.queue,
                "next_run": timezone.now() + timedelta(seconds=delay),
            }
            # What an older release scheduled keeps its times, and gets the path of today.
            own = {"name": planned.name + suffix, "defaults": {"func": planned.task}}
            Schedule.objects.update_or_create(**own, create_defaults=first)


def prepare_starter_corpus() -> None:
    if not SourceDataset.objects.ready().filter(org=None, name__startswith="starter").exists():
        call_command("seed", "starter")


def prepare_demo() -> Organization:
    """Make the demo user, an operator too, and their organisation. Their secrets are made here;
    one whose file was lost is made anew."""
    user = User.objects.filter(email=DEMO_EMAIL).first()
    user = user or User.objects.create_superuser(DEMO_EMAIL)
    org = Organization.objects.filter(memberships__user=user).first()
    org = org or create_organization(actor=user, name=DEMO_ORG)
    password_file, token_file = demo_secret_files()
    if not password_file.exists():
        password = secrets.token_urlsafe(9)
        user.set_password(password)
        user.save(update_fields=["password"])
        kept_secret(password_file, password)
    if not token_file.exists():
        kept_secret(token_file, create_token(actor=user, org=org, name="demo")[1])
    return org


def demo_secret_files() -> tuple[Path, Path]:
    """Password and API token of the demo, in files that only their owner reads."""
    return settings.VAR_DIR / "demo-password.txt", settings.VAR_DIR / "demo-token.txt"


def demo_model(org: Organization) -> CustomModel:
    """Return the demo's model; made, with its work enqueued, on the first call."""
    model = CustomModel.objects.filter(org=org, name=DEMO.name).order_by("created_at").first()
    return model or create_model(actor=User.objects.get(email=DEMO_EMAIL), org=org, draft=DEMO)


DEMO = ModelDraft(
    name="Support router",
    requirement=(
        "Our IT helpdesk gets tickets from all over the company: forgotten passwords, broken "
        "printers, people who join and leave, suspicious e-mails. Each ticket must go to one "
        "queue. Colleagues write short and informally. We want a small model of our own that "
        "reads a ticket and returns only the name of the queue."
    ),
    objective="Route one IT helpdesk ticket to exactly one queue.",
    policy="Answer with the snake_case queue name only: no sentence, no punctuation.",
    examples=[
        {"input": "I forgot my login password for Jira.", "output": "password_reset"},
        {"input": "The VPN client shows error 809 since Monday.", "output": "vpn_problem"},
        {
            "input": "Got a mail from our bank asking me to confirm my password",
            "output": "phishing_report",
        },
        {"input": "Marta starts in finance next Monday, what do I order?", "output": "new_starter"},
        {"input": "the printer on the third floor only prints stripes", "output": "printer_fault"},
    ],
    success_criteria=["Exact match of at least 60% on held-out tickets"],
    base=DEFAULT_BASE,
    rows=480,
)

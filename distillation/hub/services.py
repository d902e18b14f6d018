"""Actions on the hub: a search for a model's data, and an import of what it found. Both are jobs,
and both want the operator's switch and the organisation's leave.
"""

from dataclasses import asdict

from django.conf import settings
from django.db import transaction
from django.utils.text import slugify

from accounts.audit import record
from accounts.models import Organization, User
from distillation.hub.candidates import Candidate, Plan, license_problem
from distillation.hub.client import COMMIT, REPO_ID
from distillation.limits import NAME_CHARS, ORIGIN_CHARS
from distillation.models import HubImport, HubSearch, ImportRun
from distillation.organization.licensing import license_policy_of
from models_app.models import CustomModel
from modelstation.core.errors import Busy, Conflict, UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.models import Job

MOST_ROWS = 50_000


def is_open(org: Organization) -> bool:
    return bool(settings.HUB_SEARCH and org.allow_hub_search)


def must_be_open(org: Organization) -> None:
    if not settings.HUB_SEARCH:
        message = "Searching the hub is switched off on this installation."
        hint = "The operator can switch it on with HUB_SEARCH=true."
        raise Conflict(message, code="hub_off", hint=hint)
    if not org.allow_hub_search:
        message = "Your organisation does not allow searches of the hub."
        hint = "An admin or owner allows it on the settings page."
        raise Conflict(message, code="hub_not_allowed", hint=hint)


def submit_search(*, actor: User, model: CustomModel) -> HubSearch:
    must_be_open(model.org)
    with transaction.atomic():
        model = CustomModel.objects.select_for_update(of=("self",)).get(id=model.id)
        if model.hub_searches.filter(job__state__in=Job.LIVE_STATES).exists():
            message = "The hub is being searched for this model already."
            raise Busy(message, code="hub_busy_here", hint="Wait for the end of that search.")
        search: HubSearch = HubSearch.objects.create(org=model.org, model=model, created_by=actor)
        search.job = jobs.submit(kind="hub_search", org=model.org, subject_id=search.pk)
        search.save(update_fields=["job"])
        record(org=model.org, actor=actor, action="model.hub_search", target=model)
    return search


def submit_import(
    *, actor: User, model: CustomModel, repo_id: str, revision: str, plan: Plan
) -> HubImport:
    """Import rows of this revision. Its licence is looked at again by the job, at that revision."""
    must_be_open(model.org)
    _must_be_pinned(repo_id, revision)
    candidate = found_before(model, repo_id, revision)
    if candidate is not None:
        problem = license_problem(candidate.license, license_policy_of(model.org))
        if problem:
            raise license_refused(problem)
    with transaction.atomic():
        model = CustomModel.objects.select_for_update(of=("self",)).get(id=model.id)
        running = model.hub_imports.filter(repo_id=repo_id, run__state=ImportRun.State.RUNNING)
        if running.exists():
            message = f"{repo_id} is being imported for this model already."
            raise Busy(message, code="hub_import_busy", hint="Wait for the end of that import.")
        run = ImportRun.objects.create(
            org=model.org,
            origin=repo_id[:ORIGIN_CHARS],
            options={"source": source_name_of(repo_id, plan), "append": True},
            created_by=actor,
        )
        hub_import: HubImport = HubImport.objects.create(
            org=model.org,
            model=model,
            run=run,
            repo_id=repo_id[:ORIGIN_CHARS],
            revision=revision,
            license=candidate.license if candidate else "",
            plan=asdict(plan),
            created_by=actor,
        )
        run.job = jobs.submit(kind="hub_import", org=model.org, subject_id=run.id)
        run.save(update_fields=["job"])
        action = "model.hub_import"
        record(org=model.org, actor=actor, action=action, target=model, repo_id=repo_id)
    return hub_import


def settle_ended_search(job: Job) -> None:
    """Do nothing: why it ended stands on the job, and no half result was kept."""


def source_name_of(repo_id: str, plan: Plan) -> str:
    """`acme/bank-intents` → `acme-bank-intents`, with a configuration that was chosen."""
    config = plan.config if plan.config not in ("", "default") else ""
    name = slugify(f"{repo_id} {config}".replace("/", " ").replace("_", " ").replace(".", " "))
    return f"hub-{name}"[:NAME_CHARS].strip("-")


def found_before(model: CustomModel, repo_id: str, revision: str) -> Candidate | None:
    """Return what the newest search that found it says of it."""
    for search in model.hub_searches.all()[:10]:
        for stored in search.candidates:
            if (stored["repo_id"], stored["revision"]) == (repo_id, revision):
                return Candidate.from_json(stored)
    return None


def license_refused(problem: str) -> UserFacingError:
    hint = "An admin or owner changes the licence policy on the settings page."
    return UserFacingError(problem, code="license_not_allowed", hint=hint)


def _must_be_pinned(repo_id: str, revision: str) -> None:
    if not REPO_ID.fullmatch(repo_id) or ".." in repo_id:
        message = "This is no name of a data set on the hub."
        hint = "Write it as namespace/name."
        raise UserFacingError(message, code="bad_repo_id", param="repo_id", hint=hint)
    if not COMMIT.fullmatch(revision):
        message = "A revision is needed: the 40 digits of a commit."
        hint = "A search shows it. A branch may hold other rows tomorrow."
        raise UserFacingError(message, code="bad_revision", param="revision", hint=hint)

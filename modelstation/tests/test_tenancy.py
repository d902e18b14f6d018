"""The permission matrix: every URL × anonymous, stranger, member, owner. A URL that is not listed
fails the test.

alice owns Acme, bob is a member of it, charlie belongs elsewhere. A stranger gets 404 for what is
Acme's."""

import json

import pytest
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, get_resolver, reverse

from accounts.services import create_token
from modelstation import testing

pytestmark = pytest.mark.django_db

CALLERS = ("anonymous", "stranger", "member", "owner")

# Pages: log in first; a stranger sees nothing; what only admins may do is 403 for a member.
PAGE = (302, 404, 200, 200)
ACTION = (302, 404, 302, 302)
ADMIN_ACTION = (302, 404, 403, 302)
# API: a stranger's own token opens only his own lists.
LIST = (401, 200, 200, 200)
OBJECT = (401, 404, 200, 200)
REMOVAL = (401, 404, 204, 204)
ADMIN_LIST = (401, 200, 403, 200)

PROMPT = {"system_prompt": "Answer with the label only."}
DRAFT = {
    "name": "Another",
    "requirement": testing.REQUIREMENT,
    "base": "smollm2-135m-instruct",
    "rows": "100",
}
IMPORT = {"source": "tickets", "license": "own data"}
WEBHOOK = {"url": "http://127.0.0.1:9/hook", "events": ["fine_tuning.job.failed"]}
COMPLETION = {"model": "bank-intents", "prompt": "hello"}
CHAT = {"model": "bank-intents", "messages": [{"role": "user", "content": "hello"}]}

# name: (method, what each caller gets[, data])
PAGES = {
    "dashboard": ("get", PAGE),
    "model": ("get", PAGE),
    "model_stages": ("get", PAGE),
    "account": ("get", PAGE),
    "tokens": ("get", PAGE),
    "token_revoke": ("post", ADMIN_ACTION),
    "members": ("get", PAGE),
    "invite": ("post", (302, 404, 403, 200), {"email": "new@example.org", "role": "member"}),
    "invitation_withdraw": ("post", ADMIN_ACTION),
    "member_role": ("post", ADMIN_ACTION, {"role": "admin"}),
    "member_remove": ("post", ADMIN_ACTION),
    "models": ("get", PAGE),
    "model_new": ("post", ACTION, DRAFT),
    "model_understood": ("post", PAGE, DRAFT),
    "model_intent": ("get", PAGE),
    "corrections": ("get", PAGE),
    "correction_new": ("post", ACTION, {"version": 1, "input": "hello", "correction": "top_up"}),
    "correction": ("post", ACTION, {"state": "dismissed"}),
    "labelling": ("get", PAGE),
    "labelling_add": ("post", ACTION, {"inputs": "a card was lost"}),
    "labelling_answer": ("post", ACTION, {"do": "skip"}),
    "labelling_undo": ("post", ACTION),
    "labelling_take_over": ("post", ACTION, {"level": "0.1"}),
    "model_labels": ("get", PAGE),
    "model_edit": ("get", PAGE),
    "model_data": ("get", PAGE),
    "model_data_rows": ("post", (302, 404, 200, 200), {}),
    "model_data_source": ("post", ACTION),
    "model_data_corpus": ("post", ACTION, {"search_corpus": "on"}),
    "model_data_doubtful": ("post", ACTION, {"doubtful_rows": "keep"}),
    "model_data_labels": ("post", ACTION),
    "teachers": ("get", PAGE),
    "teacher": ("get", PAGE),
    "teacher_test": ("post", ADMIN_ACTION),
    "teacher_delete": ("post", ADMIN_ACTION),
    "model_teacher": ("get", PAGE),
    "teacher_run": ("get", PAGE),
    "teacher_run_live": ("get", PAGE),
    "teacher_run_cancel": ("post", ACTION),
    "teacher_run_go_on": ("post", ACTION, {"rows_so_far": "1"}),
    "model_delete": ("post", ACTION),
    "model_cancel": ("post", ACTION),
    "model_rebuild": ("post", ACTION),
    "model_prompt": ("post", ACTION, PROMPT),
    "model_curation": ("post", ACTION, {"curation": "review"}),
    "contract_preview": ("post", PAGE, DRAFT),
    "model_contract": ("post", ACTION, {"success_criteria": "", "metric": "token_f1"}),
    "model_contract_preview": ("post", PAGE, {"success_criteria": "exact match >= 0.9"}),
    "model_copy": ("post", ACTION),
    "model_rollback": ("post", ACTION),
    "playground": ("get", PAGE),
    "playground_answer": ("post", PAGE, {"prompt": "hello"}),
    "playground_stream": ("post", (302, 404, 422, 422), {"prompt": "hello"}),
    "version_publish": ("post", ACTION),
    "version_download": ("get", PAGE),
    "bases": ("get", PAGE),
    "base_fetch": ("post", ADMIN_ACTION),
    "base_fetch_cancel": ("post", ADMIN_ACTION),
    "org_settings": ("get", PAGE),
    "usage": ("get", PAGE),
    "webhooks": ("post", (302, 404, 403, 200), WEBHOOK),
    "webhook": ("get", PAGE),
    "webhook_change": ("post", ADMIN_ACTION, WEBHOOK),
    "webhook_delete": ("post", ADMIN_ACTION),
    "webhook_rotate": ("post", (302, 404, 403, 200)),
    "webhook_test": ("post", ADMIN_ACTION),
    "webhook_redeliver": ("post", ADMIN_ACTION),
    "license_policy": ("post", ADMIN_ACTION, {"kind": "permissive"}),
    "license_preview": ("get", PAGE),
    "hub_token": ("post", ADMIN_ACTION, {"token": "hf_" + "x" * 30}),
    "hub_token_clear": ("post", ADMIN_ACTION),
    "model_hub": ("get", PAGE),
    "model_hub_search": ("post", ACTION),
    "model_hub_import": ("post", ACTION, {"repo_id": "acme/rows", "revision": "a" * 40}),
    "model_logs": ("get", PAGE),
    "model_logs_use": ("post", ACTION),
    "storing": ("post", ADMIN_ACTION, {"store_completions": "on", "stored_days": "7"}),
    "storing_delete": ("post", ADMIN_ACTION),
    "hub_search_policy": ("post", ADMIN_ACTION, {"allow_hub_search": "on"}),
    "gallery": ("get", PAGE),
    "sources": ("get", PAGE),
    "source": ("get", PAGE),
    "source_delete": ("get", (302, 404, 403, 200)),
    "source_quality": ("get", PAGE),
    "source_new": ("get", PAGE),
    "import": ("get", PAGE),
    "import_live": ("get", PAGE),
    "import_preview": ("post", PAGE, IMPORT),
    "import_confirm": ("post", ACTION, IMPORT),
    "import_cancel": ("post", ACTION),
    "import_rejected": ("get", PAGE),
    "dataset": ("get", PAGE),
    "dataset_rows": ("post", ACTION, {"do": "refuse", "all": "yes"}),
    "dataset_row": ("get", PAGE),
    "dataset_freeze": ("post", ACTION),
    "dataset_draft": ("post", ACTION),
    "dataset_discard": ("post", ACTION),
    "dataset_compare": ("get", PAGE),
    "dataset_jsonl": ("get", PAGE),
    "dataset_parquet": ("get", PAGE),
    "dataset_card": ("get", PAGE),
    "dataset_lineage": ("get", PAGE),
    "model_lineage": ("get", PAGE),
    "dataset_pushes": ("get", PAGE),
    "dataset_push": ("post", ADMIN_ACTION, {"repo_id": "acme/bank"}),
    "training_plan": ("get", PAGE),
    "training_plan_save": ("post", ACTION, {"epochs": "2"}),
    # The world's dataset has one row: too few to start, and the page says so.
    "training_plan_start": ("post", PAGE, {"max_steps": "40"}),
    "run": ("get", PAGE),
    "run_live": ("get", PAGE),
    "run_stream": ("get", PAGE),
    "run_log": ("get", PAGE),
    "run_log_text": ("get", PAGE),
    "run_pause": ("post", ACTION),
    "run_resume": ("post", ACTION),
    "run_cancel": ("post", ACTION),
    "run_requeue": ("post", ACTION),
    "evaluation": ("get", PAGE),
    "version_export": ("get", PAGE),
    "version_export_live": ("get", PAGE),
    "version_export_start": ("post", ACTION, {"artifacts": ["adapter"]}),
    "export_delete": ("post", ACTION),
    "export_push": ("post", ADMIN_ACTION, {"repo_id": "acme/bank"}),
    "evaluation_print": ("get", PAGE),
    "evaluation_report": ("get", PAGE),
    "version_evaluate": ("post", ACTION),
}
API = {
    "api_models": ("get", LIST),
    "api_model": ("get", OBJECT),
    "api_model_cancel": ("post", (401, 404, 200, 200)),
    "api_model_rebuild": ("post", (401, 404, 200, 200)),
    "api_model_events": ("get", OBJECT),
    "api_model_stream": ("get", OBJECT),
    "api_model_versions": ("get", OBJECT),
    "api_model_contract": ("put", OBJECT, {"metric": "token_f1"}),
    "api_model_copy": ("post", (401, 404, 201, 201)),
    "api_model_rollback": ("post", OBJECT),
    "api_model_promotions": ("get", OBJECT),
    "api_version": ("get", OBJECT),
    "api_version_evaluate": ("post", (401, 404, 201, 201)),
    "api_version_publish": ("post", OBJECT, {}),
    "api_bases": ("get", LIST),
    "api_base_fetch": ("post", (401, 201, 403, 201)),
    "api_base_recommendation": ("post", LIST, {"requirement": testing.REQUIREMENT}),
    "api_organization": ("patch", ADMIN_LIST, {"license_policy": {"kind": "permissive"}}),
    "api_corrections": ("post", (401, 404, 201, 201), {"input": "hello", "correction": "top_up"}),
    "api_correction": ("patch", OBJECT, {"state": "dismissed"}),
    "api_inputs": ("post", (401, 404, 201, 201), {"inputs": ["a card was lost"]}),
    "api_input": ("patch", OBJECT, {"state": "skipped"}),
    "api_inputs_summary": ("get", OBJECT),
    "api_inputs_take_over": ("post", OBJECT, {}),
    "api_intents": ("post", LIST, {"requirement": testing.REQUIREMENT}),
    "api_model_data": ("patch", OBJECT, {"search_corpus": False}),
    "api_hub_searches": ("get", OBJECT),
    "api_hub_search": ("get", OBJECT),
    "api_hub_imports": ("get", OBJECT),
    "api_hub_import": ("get", OBJECT),
    "api_model_logs": ("get", OBJECT),
    "api_stored_completions": ("delete", ADMIN_LIST),
    "api_teachers": ("get", LIST),
    "api_teacher": ("delete", (401, 404, 403, 204)),
    "api_teacher_test": ("post", (401, 404, 403, 200)),
    "api_teacher_runs": ("get", OBJECT),
    "api_teacher_run": ("get", OBJECT),
    "api_teacher_run_cancel": ("post", OBJECT),
    "api_teacher_run_go_on": ("post", OBJECT, {"rows_so_far": True}),
    "api_sources": ("get", LIST),
    "api_source": ("delete", (401, 404, 403, 409)),
    "api_source_quality": ("get", OBJECT),
    "api_imports": ("get", LIST),
    "api_import": ("get", OBJECT),
    "api_import_confirm": ("post", OBJECT, {}),
    "api_import_cancel": ("post", OBJECT),
    "api_import_rejected": ("get", OBJECT),
    "api_datasets": ("get", LIST),
    "api_dataset": ("get", OBJECT),
    "api_dataset_rows": ("get", OBJECT),
    "api_dataset_rows_decide": ("post", OBJECT, {"filter": {}, "decision": "refused"}),
    "api_dataset_rows_answer": ("post", OBJECT, {"filter": {}, "answer": "top_up"}),
    "api_dataset_row": ("get", OBJECT),
    "api_dataset_row_restore": ("post", OBJECT),
    "api_dataset_freeze": ("post", OBJECT),
    "api_dataset_draft": ("post", (401, 404, 201, 201)),
    "api_dataset_compare": ("get", OBJECT),
    "api_dataset_export": ("get", OBJECT),
    "api_dataset_lineage": ("get", OBJECT),
    "api_dataset_lineage_rows": ("get", OBJECT),
    "api_model_lineage": ("get", OBJECT),
    "api_version_lineage": ("get", OBJECT),
    "api_dataset_pushes": ("post", (401, 404, 403, 201), {"repo_id": "acme/bank"}),
    "api_training_plan": ("post", OBJECT, {"config": {"epochs": 2.0}, "keep": True}),
    "api_training_plan_start": ("post", (401, 404, 400, 400), {"config": {"max_steps": 40}}),
    "api_runs": ("get", LIST),
    "api_run": ("get", OBJECT),
    "api_run_events": ("get", OBJECT),
    "api_run_stream": ("get", OBJECT),
    "api_run_pause": ("post", OBJECT),
    "api_run_resume": ("post", (401, 404, 409, 409)),
    "api_run_cancel": ("post", OBJECT),
    "api_run_requeue": ("post", (401, 404, 409, 409)),
    "api_evaluations": ("get", LIST),
    "api_evaluation": ("get", OBJECT),
    "api_evaluation_rows": ("get", OBJECT),
    "api_version_exports": ("post", (401, 404, 201, 201), {"artifacts": ["adapter"]}),
    "api_export_sizes": ("get", OBJECT),
    "api_export": ("delete", REMOVAL),
    "api_export_pushes": ("post", (401, 404, 403, 201), {"repo_id": "acme/bank"}),
    "api_evaluation_report": ("get", OBJECT),
    "api_usage": ("get", LIST),
    "api_webhooks": ("get", LIST),
    "api_webhook": ("delete", (401, 404, 403, 204)),
    "api_webhook_secret": ("post", (401, 404, 403, 200)),
    "api_webhook_test": ("post", (401, 404, 403, 201)),
    "api_webhook_deliveries": ("get", OBJECT),
    "api_webhook_redeliver": ("post", (401, 404, 403, 200)),
    "api_tokens": ("get", LIST),
    "api_token": ("delete", (401, 404, 403, 204)),
    "api_members": ("get", LIST),
    "api_member": ("delete", (401, 404, 403, 204)),
    "api_invitations": ("get", ADMIN_LIST),
    "api_invitation": ("delete", (401, 404, 403, 204)),
    "auth_me": ("get", LIST),
    "openai_models": ("get", LIST),
    "openai_model": ("get", OBJECT),
    "openai_files": ("get", LIST),
    "openai_file": ("get", OBJECT),
    "openai_file_content": ("get", OBJECT),
    "openai_file_problems": ("get", OBJECT),
    "openai_jobs": ("get", LIST),
    "openai_job": ("get", OBJECT),
    "openai_job_cancel": ("post", OBJECT),
    "openai_job_pause": ("post", OBJECT),
    "openai_job_resume": ("post", (401, 404, 409, 409)),
    "openai_job_events": ("get", OBJECT),
    "openai_job_checkpoints": ("get", OBJECT),
    "openai_chat_completions": ("post", (401, 404, 503, 503), CHAT),
    "openai_stored_completion": ("get", OBJECT),
    "openai_stored_completion_messages": ("get", OBJECT),
    "openai_webhook_endpoints": ("get", LIST),
    "openai_webhook_event_types": ("get", LIST),
    "openai_webhook_endpoint": ("delete", (401, 404, 403, 200)),
    "openai_webhook_endpoint_secret": ("post", (401, 404, 403, 200), {}),
    # Nobody listens at the world's webhook.
    "openai_webhook_endpoint_test": (
        "post",
        (401, 404, 403, 400),
        {"event_type": "fine_tuning.job.failed"},
    ),
    "openai_completions": ("post", (401, 404, 503, 503), COMPLETION),
}
# Open to all, or guarded by something other than an organisation.
OPEN = {
    "home": "the landing page, and the way into one's own organisation",
    "health": "tells a load balancer that the process answers",
    "handbook": "the handbook, the same for everybody",
    "handbook_page": "the handbook, the same for everybody",
    "auth_login": "the log-in itself",
    "auth_logout": "ends one's own session",
    "invitation_accept": "its secret is the guard; tested with the accounts",
    "api_export_download": "its signature is the guard; tested with the exports",
    "api_signing_key": "the same for every organisation; tested with the exports",
    "api_schema": "the description of the API",
    "api_docs": "the description of the API",
}
LIBRARY_PREFIXES = ("admin/", "accounts/")


def our_urls(patterns=None, prefix="", outer=()):
    """Every name that is ours, with the parameters of its route, walked from the URLconf."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = prefix + str(pattern.pattern)
        parameters = (*outer, *pattern.pattern.converters)
        if route.startswith(LIBRARY_PREFIXES):
            continue
        if isinstance(pattern, URLPattern):
            yield pattern.name, parameters
        else:
            yield from our_urls(pattern.url_patterns, route, parameters)


def test_every_url_is_in_the_matrix():
    named = {name for name, _ in our_urls()}
    assert None not in named
    assert named == PAGES.keys() | API.keys() | OPEN.keys()


# Actions on a draft; the world's `dataset_id` is a frozen one.
ON_A_DRAFT = {
    "dataset_rows", "dataset_row", "dataset_freeze", "dataset_discard", "api_dataset_rows_decide",
    "api_dataset_rows_answer", "api_dataset_row", "api_dataset_row_restore", "api_dataset_freeze",
}  # fmt: skip


def arguments_of(name, world):
    parameters = dict(our_urls())[name]
    if name in ON_A_DRAFT:
        world = world | {"dataset_id": world["draft_id"]}
    kwargs = {key: world[key] for key in parameters if key in world and key != "org"}
    if name == "openai_model":
        return {"name": "bank-intents"}
    return kwargs | ({"org": world["org"]} if name in PAGES else {})


def page_client(caller, users):
    client = Client()
    if users[caller]:
        client.force_login(users[caller])
    return client


def api_client(caller, users):
    user = users[caller]
    if user is None:
        return Client()
    org = user.memberships.get().org
    _, secret = create_token(actor=user, org=org, name="matrix")
    return Client(headers={"Authorization": f"Bearer {secret}"})


@pytest.fixture
def users(alice, bob, charlie, org):
    return {"anonymous": None, "stranger": charlie, "member": bob, "owner": alice}


def call(client, name, entry, world):
    method, _, *data = entry
    body = data[0] if data else None
    if name == "labelling_answer":
        body = body | {"input_id": world["input_id"]}
    url = reverse(name, kwargs=arguments_of(name, world))
    if name in API and body is not None:
        return client.generic(
            method.upper(), url, json.dumps(body), content_type="application/json"
        )
    return getattr(client, method)(url, body)


def answers_of(client_of, name, entry, users, world):
    """Return the answer to each caller. What one did is rolled back before the next."""
    answers = {}
    for caller in CALLERS:
        cache.clear()
        with transaction.atomic():
            answers[caller] = call(client_of(caller, users), name, entry, world)
            testing.let_go(answers[caller])  # of a stream, whose slot others need
            transaction.set_rollback(True)
    return answers


def statuses(answers):
    return {caller: answer.status_code for caller, answer in answers.items()}


def expected(entry):
    return dict(zip(CALLERS, entry[1], strict=True))


@pytest.mark.parametrize("name", PAGES)
def test_pages(name, users, world):
    answers = answers_of(page_client, name, PAGES[name], users, world)
    assert statuses(answers) == expected(PAGES[name])
    assert answers["anonymous"].url.startswith("/accounts/login/")


@pytest.mark.parametrize("name", API)
def test_api(name, users, world):
    answers = answers_of(api_client, name, API[name], users, world)
    assert statuses(answers) == expected(API[name])


@pytest.mark.parametrize(
    "name", [name for name in API if API[name][1] == LIST and name != "api_bases"]
)
def test_a_strangers_lists_show_nothing_of_others(name, users, world):
    body = call(api_client("stranger", users), name, API[name], world).content.decode()
    for key in (
        "model_id",
        "dataset_id",
        "source_id",
        "import_id",
        "run_id",
        "evaluation_id",
        "token_id",
        "invitation_id",
        "webhook_id",
        "endpoint_name",
        "teacher_id",
    ):
        assert str(world[key]) not in body
    assert "bank-intents" not in body
    assert "alice@example.org" not in body


def test_a_session_names_no_other_organisation(users, world, org):
    client = page_client("stranger", users)
    response = client.get(reverse("api_models"), headers={"X-Organization": org.slug})
    assert response.status_code == 404

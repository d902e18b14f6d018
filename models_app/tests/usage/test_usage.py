"""What was used is counted, shown and limited: over all processes, and for each organisation."""

from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.urls import reverse

from accounts.models import ApiToken
from accounts.services import create_token
from models_app.gateway.model_resolver import Served
from models_app.models import UsageCounter, UsageLimit, UsageRecord
from models_app.serving.client import Completion
from models_app.tests.gateway.test_gateway import make_version
from models_app.usage import metering
from models_app.usage.metering import LimitReached, Meter, admit
from modelstation.testing import make_model

pytestmark = pytest.mark.django_db
URL = "/api/v1/usage"
DAY = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture
def token(org, alice):
    return create_token(actor=alice, org=org, name="nightly")[0]


def use(org, model="bank-intents", prompt=10, answer=2, at=DAY, token=None, cached=0):
    record = UsageRecord.objects.create(
        org=org,
        model=model,
        token=token,
        prompt_tokens=prompt,
        cached_tokens=cached,
        completion_tokens=answer,
        milliseconds=5,
    )
    UsageRecord.objects.filter(id=record.id).update(created_at=at)


def march(api, **query):
    return api.get(URL, {"from": "2026-03-01", "to": "2026-03-31", **query})


# --- Strangers first ------------------------------------------------------------------------------


def test_a_stranger_sees_his_own_usage_alone(org, api_for, charlie):
    use(org)
    stranger = api_for(charlie, charlie.organizations.get())

    for group in ("day", "model", "token"):
        body = march(stranger, group_by=group).json()
        assert body["data"] == []
        assert body["total"]["requests"] == 0


def test_a_member_sees_the_models_and_not_whose_token_used_them(org, api_for, bob, as_bob, token):
    use(org, token=token)

    assert march(api_for(bob), group_by="model").status_code == 200
    assert march(api_for(bob), group_by="token").status_code == 403
    page = as_bob.get(reverse("usage", args=["acme"]), {"start": "2026-03-01", "end": "2026-03-31"})
    assert b"bank-intents" in page.content
    assert b"nightly" not in page.content


# --- What is told ---------------------------------------------------------------------------------


def test_usage_is_added_up_by_day_with_both_ends_included(org, api):
    use(org, at=datetime(2026, 3, 1, 0, 0, tzinfo=UTC), cached=4)
    use(org, at=datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC))
    use(org, at=datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC), prompt=1, answer=1)
    use(org, at=datetime(2026, 4, 1, 0, 0, tzinfo=UTC))
    use(org, at=datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC))

    body = march(api).json()

    assert (body["from"], body["to"], body["group_by"]) == ("2026-03-01", "2026-03-31", "day")
    assert body["data"] == [
        {"day": "2026-03-31", "requests": 1, "prompt_tokens": 1, "cached_tokens": 0,
         "completion_tokens": 1, "total_tokens": 2},
        {"day": "2026-03-01", "requests": 2, "prompt_tokens": 20, "cached_tokens": 4,
         "completion_tokens": 4, "total_tokens": 24},
    ]  # fmt: skip
    assert body["total"] == {
        "requests": 3, "prompt_tokens": 21, "cached_tokens": 4, "completion_tokens": 5,
        "total_tokens": 26,
    }  # fmt: skip


def test_usage_is_grouped_by_model_and_by_token(org, api, token, alice):
    other = create_token(actor=alice, org=org, name="nightly")[0]
    use(org, token=token)
    use(org, token=other, model="smollm2-135m-instruct")
    use(org)

    models = march(api, group_by="model").json()["data"]
    assert [(row["model"], row["requests"]) for row in models] == [
        ("bank-intents", 2),
        ("smollm2-135m-instruct", 1),
    ]
    tokens = march(api, group_by="token").json()["data"]
    assert {(row["token"], row["token_id"]) for row in tokens} == {
        ("nightly", str(token.id)),
        ("nightly", str(other.id)),
        ("deleted", None),
    }


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"from": "yesterday"}, "from"),
        ({"to": "2026-13-01"}, "to"),
        ({"group_by": "hour"}, "group_by"),
        ({"from": "2026-03-02", "to": "2026-03-01"}, "from"),
        ({"from": "2020-01-01", "to": "2026-03-01"}, "from"),
        ({"from": "", "to": "0001-01-01"}, "from"),
        ({"from": "9999-12-31", "to": "9999-12-31"}, "to"),
    ],
)
def test_a_period_that_is_none_is_refused_by_name(api, query, param):
    answer = api.get(URL, query)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_without_a_period_it_is_the_last_thirty_days(org, api):
    now = datetime.now(UTC)
    use(org, at=now)
    use(org, at=now - timedelta(days=29))
    use(org, at=now - timedelta(days=31))

    assert api.get(URL).json()["total"]["requests"] == 2


def test_the_page_shows_tokens_per_day_and_model(org, as_alice, token):
    use(org, prompt=1234, token=token)
    url = reverse("usage", args=["acme"])

    page = as_alice.get(url, {"start": "2026-03-01", "end": "2026-03-31"}).content.decode()

    for text in ("10 Mar 2026", "bank-intents", "1,234", "nightly"):
        assert text in page
    assert 'value="2026-03-01"' in page  # a date picker shows no other spelling
    assert "Nothing was used" in as_alice.get(url).content.decode()
    assert (
        "ends before it begins"
        in as_alice.get(url, {"start": "2026-03-02", "end": "2026-03-01"}).content.decode()
    )


# --- Limits ---------------------------------------------------------------------------------------


@pytest.fixture
def minute(monkeypatch):
    """A clock that stands still, 20 seconds into a minute and a day."""
    now = [86_400 * 20_000 + 20]
    monkeypatch.setattr(metering.time, "time", lambda: now[0])
    return now


def test_without_limits_nothing_is_counted_and_nothing_told(token):
    assert admit(token).headers() == {}
    assert not UsageCounter.objects.exists()


def test_a_token_has_so_many_requests_a_minute(token, settings, minute):
    settings.REQUESTS_PER_MINUTE_PER_TOKEN = 2

    assert admit(token).headers() == {
        "x-ratelimit-limit-requests": "2",
        "x-ratelimit-remaining-requests": "1",
        "x-ratelimit-reset-requests": "40s",
    }
    admit(token)
    with pytest.raises(LimitReached) as reached:
        admit(token)
    assert (reached.value.code, reached.value.retry_after) == ("rate_limit_exceeded", 40)

    minute[0] += 40
    assert admit(token).requests.left == 1


def test_tokens_of_one_organisation_share_its_limit_and_others_do_not(
    token, org, alice, charlie, settings, minute
):
    settings.REQUESTS_PER_MINUTE_PER_ORGANIZATION = 1
    other = create_token(actor=alice, org=org, name="other")[0]
    strangers = create_token(actor=charlie, org=charlie.organizations.get(), name="his")[0]
    admit(token)

    with pytest.raises(LimitReached):
        admit(other)
    admit(strangers)


def test_an_operator_sets_another_limit_for_one_organisation(token, org, settings, minute):
    settings.REQUESTS_PER_MINUTE_PER_ORGANIZATION = 1
    UsageLimit.objects.create(org=org, requests_per_minute=0)
    admit(token)
    admit(token)

    UsageLimit.objects.update(requests_per_minute=3)
    assert admit(token).requests.limit == 3


def test_a_days_tokens_are_a_quota(token, org, minute):
    UsageLimit.objects.create(org=org, tokens_per_day=20)
    meter = Meter(Served("base", "", None, "g", "t"), token)
    assert admit(token).headers()["x-ratelimit-remaining-tokens"] == "20"
    meter.record(Completion("", 9, 10, "stop"))
    assert admit(token).tokens.left == 1
    meter.record(Completion("", 9, 10, "stop"))

    with pytest.raises(LimitReached) as reached:
        admit(token)
    assert (reached.value.code, reached.value.retry_after) == ("insufficient_quota", 86_380)

    minute[0] += 86_400
    assert admit(token).tokens.left == 20


@pytest.mark.django_db(transaction=True)
def test_counting_holds_when_many_come_at_once(token, settings, minute):
    settings.REQUESTS_PER_MINUTE_PER_TOKEN = settings.REQUESTS_PER_MINUTE_PER_ORGANIZATION = 1000
    token = ApiToken.objects.select_related("org").get(id=token.id)

    def call():
        for _ in range(25):
            admit(token)
        connection.close()

    threads = [Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(UsageCounter.objects.values_list("count", flat=True)) == {100}


def test_a_reached_limit_is_a_429_in_openais_shape(api, org):
    UsageLimit.objects.create(org=org, requests_per_minute=1)
    ask = {"model": "nobody", "messages": [{"role": "user", "content": "Hi"}]}
    first, second = (api.post("/v1/chat/completions", ask, format="json") for _ in range(2))

    assert first.status_code == 404
    assert first["x-ratelimit-remaining-requests"] == "0"
    error = second.json()["error"]
    assert (second.status_code, error["code"]) == (429, "rate_limit_exceeded")
    assert error["type"] == "rate_limit_error"
    assert 1 <= int(second["Retry-After"]) <= 60
    assert second["x-ratelimit-limit-requests"] == "1"


def test_a_used_up_quota_is_a_429_that_is_not_to_be_tried_again(api, org):
    UsageLimit.objects.create(org=org, tokens_per_day=1)
    token = ApiToken.objects.get(name="test")
    Meter(Served("base", "", None, "g", "t"), token).record(Completion("", 1, 1, "stop"))

    refused = api.post("/v1/completions", {"model": "x", "prompt": "y"}, format="json")

    assert refused.status_code == 429
    assert (
        refused.json()["error"]["code"] == refused.json()["error"]["type"] == "insufficient_quota"
    )
    assert refused["x-should-retry"] == "false"


# --- What was counted before ----------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_records_of_versions_keep_their_organisation_and_their_models_name(org):
    this = ("models_app", "0007_usage_and_webhooks")
    version = make_version(make_model(org), 1)
    use(org, model="a base")
    executor = MigrationExecutor(connection)
    before = [node for node in executor.loader.graph.node_map[this].parents if node[0] == this[0]]
    executor.migrate([node.key for node in before])
    try:
        old = executor.loader.project_state([node.key for node in before]).apps
        records = old.get_model("models_app", "UsageRecord").objects
        assert not records.exists()  # a base's had no place there
        records.create(version_id=version.id, prompt_tokens=3, completion_tokens=4, milliseconds=5)
    finally:
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes())

    record = UsageRecord.objects.get()
    assert (record.org, record.model, record.version_id) == (org, "bank-intents", version.id)
    assert record.prompt_tokens == 3

import pytest
from django.urls import reverse

from accounts.models import AuditEntry, Organization
from distillation.models import CorpusExample, SourceDataset
from modelstation.testing import make_org

pytestmark = pytest.mark.django_db
TOKEN = "hf_averysecrettokenofacme"
URL = "/api/v1/organization"


def add_rows(name, licenses, org=None, state="ready"):
    source = SourceDataset.objects.create(org=org, name=name, license="mixed", state=state)
    CorpusExample.objects.bulk_create(
        CorpusExample(
            source=source,
            content_hash=f"{name}{number}",
            license=license,
            messages=[],
            tokens=1,
            embedding=[0.0] * 384,
        )
        for number, license in enumerate(licenses)
    )
    return source


def page(client, org):
    return client.get(reverse("org_settings", args=[org.slug]))


def test_a_stranger_finds_no_settings(as_charlie, org, api_for, charlie):
    for name in ("org_settings", "license_preview"):
        assert as_charlie.get(reverse(name, args=[org.slug])).status_code == 404
    for name in ("license_policy", "hub_token", "hub_token_clear"):
        assert as_charlie.post(reverse(name, args=[org.slug])).status_code == 404
    own = api_for(charlie, charlie.organizations.get()).get(URL).json()
    assert own["slug"] == "elsewhere"


def test_a_member_sees_the_settings_and_changes_none(as_bob, api_for, bob, org):
    text = page(as_bob, org).content.decode()
    assert "Admins and owners change it" in text
    assert "Save the policy" not in text
    assert "Store the token" not in text
    policy = {"license_policy": {"kind": "permissive"}}
    assert api_for(bob).patch(URL, policy, format="json").status_code == 403
    assert api_for(bob).patch(URL, {"hub_token": TOKEN}, format="json").status_code == 403
    assert Organization.objects.get(pk=org.pk).license_policy == "any"


def test_the_page_counts_the_licences_in_sight_and_says_which_are_let_in(as_alice, org):
    add_rows("public", ["MIT", "MIT", "CC-BY-SA-4.0", "unknown"])
    add_rows("rival", ["AGPL-3.0"], org=make_org("Rival"))
    add_rows("unfinished", ["BSD"], state="loading")
    shares = page(as_alice, org).context["shares"]
    assert [(s.license, s.rows, s.allowed) for s in shares] == [
        ("MIT", 2, True),
        ("CC-BY-SA-4.0", 1, True),
        ("unknown", 1, False),
    ]


def test_the_preview_shows_a_policy_before_it_is_saved(as_alice, org):
    add_rows("public", ["MIT", "CC-BY-SA-4.0", ""])
    url = reverse("license_preview", args=[org.slug])
    requested = {"kind": "named", "names": ["CC-BY-SA-4.0"], "allow_unknown": "on"}
    shares = as_alice.get(url, requested).context["shares"]
    assert {s.license: s.allowed for s in shares} == {"MIT": False, "CC-BY-SA-4.0": True, "": True}
    assert {s.allowed for s in as_alice.get(url, {"kind": "junk"}).context["shares"]} == {
        True,
        False,
    }
    assert Organization.objects.get(pk=org.pk).license_policy == "any"


def test_an_owner_saves_a_policy_and_the_audit_tells_before_and_after(as_alice, alice, org):
    requested = {"kind": "named", "names": ["MIT", "Apache-2.0"], "allow_unknown": "on"}
    answer = as_alice.post(reverse("license_policy", args=[org.slug]), requested)
    assert answer.status_code == 302
    saved = Organization.objects.get(pk=org.pk)
    assert (saved.license_policy, saved.license_names) == ("named", ["Apache-2.0", "MIT"])
    assert saved.allow_unknown_license
    entry = AuditEntry.objects.get(action="organization.license_policy")
    assert (entry.actor, entry.data["before"]["kind"]) == (alice, "any")
    assert entry.data["after"] == {
        "kind": "named",
        "names": ["Apache-2.0", "MIT"],
        "allow_unknown": True,
    }


def test_saving_the_same_policy_again_is_no_deed(as_alice, org):
    for _ in range(2):
        as_alice.post(reverse("license_policy", args=[org.slug]), {"kind": "permissive"})
    assert AuditEntry.objects.filter(action="organization.license_policy").count() == 1


def test_a_policy_that_names_nothing_is_refused_in_plain_words(as_alice, api_for, alice, org):
    answer = as_alice.post(reverse("license_policy", args=[org.slug]), {"kind": "named"})
    assert "names no licence" in answer.content.decode()
    body = {"license_policy": {"kind": "named", "names": []}}
    answer = api_for(alice).patch(URL, body, format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "no_license_named")
    assert Organization.objects.get(pk=org.pk).license_policy == "any"


def test_the_api_changes_what_it_is_told_and_leaves_the_rest(api_for, alice, org):
    add_rows("public", ["MIT", "GPL-3.0"])
    api = api_for(alice)
    body = {"license_policy": {"kind": "any", "names": ["MIT"], "allow_unknown": True}}
    api.patch(URL, body, format="json")
    answer = api.patch(URL, {"license_policy": {"kind": "permissive"}}, format="json").json()
    assert answer["license_policy"] == {
        "kind": "permissive",
        "names": ["MIT"],
        "allow_unknown": True,
    }
    assert answer["licenses"] == [
        {"license": "GPL-3.0", "rows": 1, "allowed": False},
        {"license": "MIT", "rows": 1, "allowed": True},
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"license_policy": {"kind": "loose"}},
        {"license_policy": {}},
        {"license_policy": {"kind": "named", "names": "MIT"}},
        {"hub_token": "hf_short"},
        {"hub_token": "hf_with a space in the middle"},
        {"hub_token": None},
        {"endpoint": "http://elsewhere.example"},
    ],
)
def test_bad_changes_are_refused(api_for, alice, org, body):
    assert api_for(alice).patch(URL, body, format="json").status_code == 400
    saved = Organization.objects.get(pk=org.pk)
    assert (saved.license_policy, saved.hub_token_hint) == ("any", "")


def test_a_token_is_stored_sealed_and_only_its_hint_is_shown(as_alice, api_for, alice, org):
    answer = as_alice.post(reverse("hub_token", args=[org.slug]), {"token": TOKEN}, follow=True)
    assert "hf_…acme" in answer.content.decode()
    shown = [answer, page(as_alice, org), api_for(alice).get(URL)]
    assert not any(TOKEN in result.content.decode() for result in shown)
    saved = Organization.objects.get(pk=org.pk)
    assert saved.hub_token.open() == TOKEN
    entry = AuditEntry.objects.get(action="hub_token.set")
    assert entry.data == {"hint": "hf_…acme"}


def test_a_bad_token_is_not_repeated(as_alice, org):
    answer = as_alice.post(reverse("hub_token", args=[org.slug]), {"token": "hf_tooshort"})
    assert "no token of the hub" in answer.content.decode()
    assert "hf_tooshort" not in answer.content.decode()


def test_the_token_is_cleared_once(as_alice, api_for, alice, org):
    api_for(alice).patch(URL, {"hub_token": TOKEN}, format="json")
    for _ in range(2):
        as_alice.post(reverse("hub_token_clear", args=[org.slug]))
    saved = Organization.objects.get(pk=org.pk)
    assert (saved.hub_token, saved.hub_token_hint) == ("", "")
    assert AuditEntry.objects.filter(action="hub_token.clear").count() == 1
    api_for(alice).patch(URL, {"hub_token": ""}, format="json")


def test_an_operators_form_neither_shows_nor_loses_the_token(client, admin_user, org):
    Organization.objects.filter(pk=org.pk).update(hub_token=TOKEN, hub_token_hint="hf_…acme")
    client.force_login(admin_user)
    url = reverse("admin:accounts_organization_change", args=[org.pk])
    text = client.get(url).content.decode()
    assert TOKEN not in text
    assert "sealed" not in text
    data = {
        "name": "Acme two",
        "slug": org.slug,
        "license_policy": "any",
        "stored_days": 30,
        "memberships-TOTAL_FORMS": 0,
        "memberships-INITIAL_FORMS": 0,
    }
    assert client.post(url, data).status_code == 302
    saved = Organization.objects.get(pk=org.pk)
    assert (saved.name, saved.hub_token.open()) == ("Acme two", TOKEN)


def test_the_settings_page_asks_a_fixed_number_of_questions(
    as_alice, org, django_assert_num_queries
):
    add_rows("first", ["MIT"])
    page(as_alice, org)
    with django_assert_num_queries(5):
        page(as_alice, org)
    for number in range(5):
        add_rows(f"more-{number}", [f"Licence {number}", "BSD"])
    with django_assert_num_queries(5):
        page(as_alice, org)

import pickle

import pytest
from django.core.management import call_command
from django.db import connection

from accounts.models import Organization
from modelstation.core.encrypted import Sealed, SecretUnreadable, seal
from modelstation.testing import make_org

TOKEN = "hf_averysecrettokenofacme"
OLD, NEW = "o" * 40, "n" * 40


@pytest.fixture
def keys(settings):
    def use(*some):
        settings.FIELD_ENCRYPTION_KEYS = list(some)

    use(OLD)
    return use


def test_what_was_sealed_opens_again(keys):
    assert seal(TOKEN).open() == TOKEN


def test_the_first_key_seals_and_every_key_opens(keys):
    old = seal(TOKEN)
    keys(NEW, OLD)
    assert old.open() == TOKEN
    keys(NEW)
    with pytest.raises(SecretUnreadable):
        old.open()


def test_a_resealed_secret_outlives_the_old_key(keys):
    old = seal(TOKEN)
    keys(NEW, OLD)
    fresh = old.resealed()
    keys(NEW)
    assert fresh.open() == TOKEN


@pytest.mark.parametrize("stored", ["", "no ciphertext", "gAAAAAB" + "x" * 60])
def test_a_value_that_no_key_opens_says_so_and_nothing_else(keys, stored):
    with pytest.raises(SecretUnreadable) as caught:
        Sealed(stored).open()
    told = f"{caught.value.message} {caught.value.hint}"
    assert "FIELD_ENCRYPTION_KEYS" in told
    assert not stored or stored not in told


def test_a_sealed_secret_shows_nothing_of_itself(keys):
    sealed = seal(TOKEN)
    for shown in (str(sealed), repr(sealed), f"{sealed}", "%s" % sealed):  # noqa: UP031
        assert shown == "<sealed>"
    assert TOKEN.encode() not in pickle.dumps(sealed)


@pytest.mark.django_db
def test_the_table_holds_ciphertext_only(keys):
    org = make_org()
    Organization.objects.filter(pk=org.pk).update(hub_token=TOKEN)
    with connection.cursor() as cursor:
        cursor.execute("SELECT hub_token FROM accounts_organization")
        [(stored,)] = cursor.fetchall()
    assert stored
    assert TOKEN not in stored
    assert Organization.objects.get().hub_token.open() == TOKEN


@pytest.mark.django_db
def test_saving_a_row_again_keeps_its_secret(keys):
    org = make_org()
    org.hub_token = TOKEN
    org.save()
    Organization.objects.get().save()
    assert Organization.objects.get().hub_token.open() == TOKEN


@pytest.mark.django_db
def test_no_secret_stays_no_secret(keys):
    assert make_org().hub_token == ""
    assert Organization.objects.get().hub_token == ""


@pytest.mark.django_db
def test_reseal_puts_every_secret_under_the_first_key(keys, capsys):
    Organization.objects.filter(pk=make_org().pk).update(hub_token=TOKEN)
    make_org("Without")
    keys(NEW, OLD)
    call_command("reseal")
    assert "1 secret" in capsys.readouterr().out
    keys(NEW)
    assert Organization.objects.get(name="Acme").hub_token.open() == TOKEN


@pytest.mark.django_db
def test_reseal_names_what_no_key_opens_and_goes_on(keys, capsys):
    lost, kept = make_org("Lost"), make_org("Kept")
    Organization.objects.filter(pk=lost.pk).update(hub_token=TOKEN)
    keys(NEW)
    Organization.objects.filter(pk=kept.pk).update(hub_token=TOKEN)
    with pytest.raises(SystemExit):
        call_command("reseal")
    told = capsys.readouterr()
    assert str(lost.pk) in told.err
    assert "1 secret" in told.out
    assert Organization.objects.get(name="Kept").hub_token.open() == TOKEN

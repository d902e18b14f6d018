import stat

from modelstation.core.secret_files import kept_secret


def test_a_secret_is_made_once_and_only_its_owner_reads_it(tmp_path):
    path = tmp_path / "var" / "key"
    secret = kept_secret(path)
    assert len(secret) > 50
    assert kept_secret(path) == kept_secret(path, "another") == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_secret_that_is_given_is_kept(tmp_path):
    assert kept_secret(tmp_path / "token", "given") == "given"
    assert kept_secret(tmp_path / "token") == "given"


def test_two_installations_have_two_secrets(tmp_path):
    assert kept_secret(tmp_path / "a") != kept_secret(tmp_path / "b")

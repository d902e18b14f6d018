import pytest

from distillation.pipeline.licenses import LicensePolicy


@pytest.mark.parametrize(
    ("name", "permissive"),
    [
        ("MIT", True),
        ("Apache-2.0", True),
        ("CC-BY-4.0", True),
        ("CC0-1.0", True),
        ("BSD-3-Clause", True),
        ("own data", True),
        ("CC-BY-SA-4.0", False),
        ("CC-BY-NC-4.0", False),
        ("GPL-3.0", False),
    ],
)
def test_the_permissive_policy_knows_licences(name, permissive):
    assert LicensePolicy("permissive").allows(name) is permissive
    assert LicensePolicy("any").allows(name)


def test_a_list_of_licences_allows_those_alone():
    assert LicensePolicy("named", ("MIT",)).allows("mit")
    assert not LicensePolicy("named", ("MIT",)).allows("Apache-2.0")


@pytest.mark.parametrize("name", ["", "unknown", "Unknown "])
@pytest.mark.parametrize("kind", ["any", "permissive", "named"])
def test_a_licence_that_nobody_stated_needs_a_word_of_its_own(name, kind):
    assert not LicensePolicy(kind, ("unknown",)).allows(name)
    assert LicensePolicy(kind, allow_unknown=True).allows(name)


def test_an_unknown_policy_is_refused():
    with pytest.raises(ValueError, match="unknown licence policy"):
        LicensePolicy("free")


def test_names_for_a_query_are_the_allowed_ones_each_once():
    result = LicensePolicy("permissive").allowed(["MIT", "GPL-3.0", "MIT", "CC-BY-4.0"])
    assert result == ["CC-BY-4.0", "MIT"]

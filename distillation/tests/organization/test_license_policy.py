"""No row of a licence that an organisation forbids comes into its datasets, whatever the mix."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from distillation.corpus.catalog import CorpusCatalog
from distillation.models import CorpusExample, SourceDataset
from distillation.organization.licensing import license_policy_of
from distillation.pipeline.dataset_generator import DatasetGenerator
from distillation.pipeline.licenses import KINDS, OWN_DATA, LicensePolicy
from distillation.pipeline.outcome import NotEnoughData
from distillation.pipeline.text import hash_messages
from distillation.pipeline.types import Example, Requirement, SelectionConfig
from distillation.runner import selection_config
from distillation.tests.pipeline.catalog import MemoryCatalog
from distillation.tests.pipeline.rows import WordsEmbedder, candidate
from modelstation.testing import make_model, make_org

pytestmark = pytest.mark.django_db
EMBEDDER = WordsEmbedder()
LICENSES = ["MIT", "mit", "CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0", "GPL-3.0", OWN_DATA]
LICENSES += ["unknown", "", "other", "Apache-2.0", "a licence; DROP TABLE", "{MIT}"]
REQUIREMENT = Requirement(
    "Label each message of a bank's customer with one intent. Answer with the label only.",
    examples=(Example("where is my card", "card_arrival"), Example("card lost", "lost_card")),
)
PLACES = ["London", "Paris", "Rome", "Oslo", "Lima", "Cairo", "Delhi", "Perth", "Quito", "Kyoto"]


def add_source(name, licenses, org=None):
    """Rows that serve the requirement, one of each licence given."""
    source = SourceDataset.objects.create(org=org, name=name, license="mixed", state="ready")
    rows = []
    for number, license in enumerate(licenses):
        place = PLACES[number % len(PLACES)]
        asked, answer = (("lost", "lost_card"), ("where is", "card_arrival"))[number % 2]
        requested = f"{asked} my {name} card in {place} {number * 7919}"
        messages = [
            {"role": "user", "content": requested},
            {"role": "assistant", "content": answer},
        ]
        rows.append(
            CorpusExample(
                source=source,
                content_hash=hash_messages(messages),
                task="intent",
                license=license,
                messages=messages,
                tokens=9,
                embedding=EMBEDDER.embed([requested])[0],
            )
        )
    CorpusExample.objects.bulk_create(rows)
    return source


policies = st.builds(
    LicensePolicy,
    st.sampled_from(KINDS),
    st.lists(st.sampled_from(LICENSES), max_size=4).map(tuple),
    st.booleans(),
)
mixes = st.lists(
    st.lists(st.sampled_from(LICENSES), min_size=1, max_size=14), min_size=1, max_size=3
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(mix=mixes, policy=policies)
@example(mix=[["MIT"] * 12, ["CC-BY-NC-4.0"] * 12], policy=LicensePolicy("permissive"))
@example(mix=[["GPL-3.0"] * 12], policy=LicensePolicy("named", ("MIT",)))
def test_no_row_of_a_forbidden_licence_comes_into_a_dataset(db, mix, policy):
    SourceDataset.objects.all().delete()
    sources = [add_source(f"source-{number}", some) for number, some in enumerate(mix)]
    catalog = CorpusCatalog(org=None, policy=policy)
    everything = [license for some in mix for license in some]
    assert catalog.refused_by_license == sum(not policy.allows(name) for name in everything)
    assert len(catalog.license_examples()) == min(10, catalog.refused_by_license)
    groups = [(str(source.id), "intent") for source in sources]
    seen = [
        *catalog.background(20),
        *catalog.rows(groups, limit=100),
        *catalog.nearest(EMBEDDER.embed(["where is my card"]), limit=100)[0],
    ]
    assert all(policy.allows(row.license) for row in seen)
    assert sum(group.rows for group in catalog.source_groups()) == len(everything) - (
        catalog.refused_by_license
    )
    assert all(policy.allows(row.candidate.license) for row in selected(catalog, policy))


def selected(catalog, policy):
    """Return the dataset's rows. The pipeline's own guard is left open: the query
    alone must do it.
    """
    config = SelectionConfig(
        rows=30, minimum_rows=1, license_policy=LicensePolicy("any", allow_unknown=True)
    )
    try:
        return DatasetGenerator(catalog, EMBEDDER).generate(REQUIREMENT, config).rows
    except NotEnoughData:
        return ()


def test_the_allowed_rows_do_come_in():
    add_source("good", ["MIT"] * 20)
    add_source("bad", ["CC-BY-NC-4.0"] * 20)
    policy = LicensePolicy("permissive")
    rows = selected(CorpusCatalog(None, policy), policy)
    assert rows
    assert {row.candidate.license for row in rows} == {"MIT"}


def test_the_policy_of_the_organisation_is_the_default():
    org = make_org()
    org.license_policy, org.license_names = "named", ["MIT"]
    org.save()
    add_source("mixed", ["MIT", "GPL-3.0", "GPL-3.0"], org=org)
    catalog = CorpusCatalog(org)
    assert [row.license for row in catalog.background(9)] == ["MIT"]
    assert catalog.refused_by_license == 2
    assert catalog.license_examples()[0].startswith("mixed (GPL-3.0): ")
    assert selection_config(make_model(org)).license_policy == license_policy_of(org)
    assert license_policy_of(org) == LicensePolicy("named", ("MIT",))


def test_a_forbidden_row_of_another_organisation_is_not_even_counted():
    add_source("rival", ["GPL-3.0"], org=make_org("Rival"))
    catalog = CorpusCatalog(make_org("Acme"), LicensePolicy("permissive"))
    assert (catalog.refused_by_license, catalog.license_examples()) == (0, [])


def test_the_catalog_in_memory_keeps_to_a_policy_too():
    rows = [candidate("where is it", "a"), candidate("no", "b", license="CC-BY-NC-4.0")]
    catalog = MemoryCatalog(rows, LicensePolicy("permissive"))
    assert [row.license for row in catalog.background(9)] == ["CC-BY-4.0"]
    assert catalog.refused_by_license == 1

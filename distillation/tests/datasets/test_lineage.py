import json
import shutil

import pytest
from django.conf import settings
from django.urls import reverse

from distillation.corpus.deletion import delete_source
from distillation.datasets.lineage import lineage_of
from distillation.models import CorpusExample, DatasetVersion, SourceDataset
from distillation.pipeline.text import hash_messages
from distillation.tests.distilled import distil_for
from distillation.tests.test_runner import _corpus  # noqa: F401

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_corpus", "artifacts_dir")]


@pytest.fixture
def version(org):
    return distil_for(org)


def checks(version):
    version = DatasetVersion.objects.select_related("model", "run").get(pk=version.pk)
    return {check.name: check for check in lineage_of(version).checks}


def problems(version):
    return {name: check.problems for name, check in checks(version).items() if check.problems}


def folder_of(version):
    return settings.ARTIFACTS_DIR / version.folder


def rewrite_manifest(version, **facts):
    path = folder_of(version) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["facts"] |= facts
    path.write_text(json.dumps(manifest))


def page_of(client, version):
    return client.get(reverse("dataset_lineage", args=[version.org.slug, version.id]))


def test_a_stranger_sees_no_lineage(version, as_charlie, api_for, charlie):
    assert page_of(as_charlie, version).status_code == 404
    api = api_for(charlie, charlie.organizations.get())
    for path in ("lineage", "lineage/rows"):
        assert api.get(f"/api/v1/datasets/{version.id}/{path}").status_code == 404


def test_an_untouched_dataset_is_verified_with_the_users_held_out_rows(version):
    lineage = lineage_of(version)
    assert lineage.verdict == "verified"
    stated = {check.name: check.detail for check in lineage.checks}
    assert stated["Rows"] == "100 rows were hashed again, 0 of them differ."
    assert stated["Corpus"] == "100 corpus rows are still there and were compared."
    assert stated["Digest"] == f"100 rows and 1 held-out rows give {version.digest}."
    assert stated["Files"].startswith("5 files were hashed again")
    assert stated["Contents of the files"] == "101 rows in the files."


def test_an_edited_row_is_named(version):
    row = version.rows.get(position=7)
    row.messages[-1]["content"] = "another_label"
    row.save()
    result = problems(version)
    assert result["Rows"] == ("Row 7 is not what was selected.",)
    assert result["Digest"] == (f"The dataset was frozen as {version.digest}.",)
    assert "Files" not in result


def test_a_row_edited_together_with_its_hash_still_changes_the_digest(version):
    row = version.rows.get(position=7)
    row.messages[-1]["content"] = "another_label"
    row.content_hash = hash_messages(row.messages)
    row.save()
    assert problems(version).keys() == {"Digest"}


@pytest.mark.parametrize("action", ["removed", "refused", "moved to another split"])
def test_a_row_that_is_missing_or_moved_changes_the_digest(version, action):
    rows = version.rows.filter(position=7)
    if action == "removed":
        rows.delete()
    elif action == "refused":
        rows.update(decision="refused")
    else:
        other = "valid" if rows.get().split == "train" else "train"
        rows.update(split=other)
    assert problems(version).keys() == {"Digest"}


def test_a_digest_that_was_forged_to_fit_is_caught_by_the_files(version):
    version.rows.filter(position=7).delete()
    forged = checks(version)["Digest"].detail.split()[-1].rstrip(".")
    DatasetVersion.objects.update(digest=forged)
    result = problems(version)
    assert result.keys() == {"Contents of the files"}
    assert version.digest in " ".join(result["Contents of the files"])


def test_an_edited_file_is_named_without_the_operators_folders(version):
    (folder_of(version) / "valid.jsonl").write_text("{}\n")
    [problem] = problems(version)["Files"]
    assert problem == "valid.jsonl has changed since it was written."
    assert str(settings.ARTIFACTS_DIR) not in problem


def test_a_missing_file_is_named(version):
    (folder_of(version) / "dataset.parquet").unlink()
    assert problems(version)["Files"] == ("dataset.parquet is missing.",)


def test_files_of_another_dataset_do_not_pass(version):
    rewrite_manifest(version, digest="f" * 64)
    assert "written for the digest ffff" in problems(version)["Contents of the files"][0]


def test_held_out_rows_that_were_swapped_are_noticed(version):
    path = folder_of(version) / "test.jsonl"
    path.write_text(path.read_text().replace("is it lost?", "is it here?"))
    assert problems(version).keys() == {"Digest", "Files"}


def test_junk_in_rows_and_files_is_told_and_breaks_nothing(version):
    version.rows.filter(position=3).update(messages={"no": "list"})
    version.rows.filter(position=4).update(messages=["text"])
    (folder_of(version) / "train.jsonl").write_bytes(b'\xff\xfe not json\n[1]\n{"messages": 3}\n')
    result = problems(version)
    assert len(result["Rows"]) == 2
    assert "Files" in result


def test_a_corpus_row_that_changed_since_is_named(version):
    row = version.rows.get(position=7)
    CorpusExample.objects.filter(pk=row.example_id).update(content_hash="f" * 64)
    assert problems(version) == {"Corpus": ("The corpus row of row 7 has changed since.",)}


def test_a_deleted_source_is_told_of_and_the_dataset_stays_verified(version, alice, as_alice):
    delete_source(actor=alice, source=SourceDataset.objects.get())
    lineage = lineage_of(version)
    assert lineage.verdict == "verified"
    assert [(line.name, line.rows, line.is_deleted) for line in lineage.sources] == [
        ("bank", 100, True)
    ]
    assert checks(version)["Corpus"].detail.endswith("100 are gone or were not recorded.")
    assert "source deleted" in page_of(as_alice, version).content.decode()


def test_files_that_are_gone_cannot_be_told_but_are_no_lie(version):
    shutil.rmtree(folder_of(version))
    lineage = lineage_of(version)
    assert lineage.verdict == "unknown"
    assert checks(version)["Digest"].verdict == "verified"  # the model still has the held-out rows


def test_of_a_draft_the_rows_alone_are_checked(version):
    DatasetVersion.objects.update(state="draft", digest="", folder="")
    assert checks(version).keys() == {"Rows", "Corpus"}


def test_page_and_api_tell_the_same(version, as_alice, api_for, alice):
    text = page_of(as_alice, version).content.decode()
    assert "Verified: all is as it was frozen" in text
    assert version.digest in text
    body = api_for(alice).get(f"/api/v1/datasets/{version.id}/lineage").json()
    assert body["verdict"] == "verified"
    assert body["dataset"]["digest"] == version.digest
    assert body["requirement"]["requirement"] == version.model.requirement
    assert body["distillation"]["funnel"][0]["filter"] == "licence policy"
    assert body["distillation"]["config"]["rows"] == 100
    [source] = body["sources"]
    assert (source["name"], source["license"], source["rows"]) == ("bank", "MIT", 100)
    row = api_for(alice).get(body["rows"])
    lines = [json.loads(line) for line in row.getvalue().splitlines()]
    assert len(lines) == 100
    assert all(line["verified"] and not line["source_deleted"] for line in lines)
    wanted = {"license", "content_hash", "corpus_hash", "scores", "query", "step", "source_id"}
    assert wanted <= lines[0].keys()


def test_the_page_asks_a_fixed_number_of_questions(version, as_alice, django_assert_num_queries):
    page_of(as_alice, version)
    with django_assert_num_queries(9):
        page_of(as_alice, version)
    version.rows.filter(position__gte=10).delete()
    with django_assert_num_queries(9):
        page_of(as_alice, version)

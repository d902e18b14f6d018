import uuid

import pytest

from distillation.models import DatasetRow, DatasetVersion, DistillationRun, SourceDataset
from modelstation.core.jobs import jobs
from modelstation.testing import make_model

pytestmark = pytest.mark.django_db


@pytest.fixture
def dataset(org, artifacts_dir):
    model = make_model(org)
    job = jobs.submit(kind="distil", org=org, subject_id=model.id)
    funnel = [{"filter": "language", "refused": 3, "examples": []}]
    run = DistillationRun.objects.create(
        org=org, model=model, job=job, intent={"task_kind": "classify"}, funnel=funnel
    )
    dataset = DatasetVersion.objects.create(
        org=org,
        model=model,
        run=run,
        number=1,
        digest="d" * 64,
        system_prompt="Label it.",
        row_count=3,
        split_counts={"train": 2, "test": 1},
        source_counts={"bank": 3},
        license_counts={"MIT": 3},
        folder=f"{model.id}/datasets/1",
    )
    DatasetRow.objects.bulk_create(
        make_row(dataset, n, "test" if n == 2 else "train") for n in range(3)
    )
    folder = artifacts_dir / dataset.folder
    folder.mkdir(parents=True)
    for split in ("train", "valid", "test"):
        (folder / f"{split}.jsonl").write_text(f'{{"split": "{split}"}}\n')
    (folder / "dataset.parquet").write_bytes(b"PAR1")
    return dataset


def make_row(dataset, position, split):
    messages = [
        {"role": "user", "content": f"input {position}"},
        {"role": "assistant", "content": "label"},
    ]
    return DatasetRow(
        version=dataset,
        position=position,
        split=split,
        messages=messages,
        source_name="bank",
        license="MIT",
        content_hash=str(position) * 64,
        score=0.9,
        reason="close to the requirement",
    )


def make_source(name, org=None):
    return SourceDataset.objects.create(
        name=name, org=org, license="MIT", state="ready", row_count=7
    )


def body_of(response):
    return b"".join(response.streaming_content).decode()


def test_a_stranger_gets_404_for_a_dataset_its_rows_and_its_files(stranger, dataset):
    for part in ("", "/rows", "/export", "/export?format=parquet"):
        response = stranger.get(f"/api/v1/datasets/{dataset.id}{part}")
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "not_found"
    assert stranger.get("/api/v1/datasets").json()["results"] == []


def test_public_sources_are_everybodys_and_others_are_not(api, stranger, org):
    public, own = make_source("public"), make_source("own", org)

    assert [row["name"] for row in api.get("/api/v1/sources").json()["results"]] == [
        "own",
        "public",
    ]
    assert [row["name"] for row in stranger.get("/api/v1/sources").json()["results"]] == ["public"]
    assert api.get(f"/api/v1/sources/{own.id}").json()["is_public"] is False
    assert stranger.get(f"/api/v1/sources/{public.id}").json()["row_count"] == 7
    assert stranger.get(f"/api/v1/sources/{own.id}").status_code == 404


def test_a_dataset_tells_its_facts(api, dataset):
    facts = api.get(f"/api/v1/datasets/{dataset.id}").json()

    assert facts["split_counts"] == {"train": 2, "test": 1}
    assert facts["source_counts"] == {"bank": 3}
    assert facts["intent"] == {"task_kind": "classify"}
    assert facts["funnel"][0]["refused"] == 3


def test_datasets_are_listed_by_model(api, dataset):
    def listed(model_id):
        return api.get(f"/api/v1/datasets?model={model_id}").json()["results"]

    assert [row["id"] for row in listed(dataset.model_id)] == [str(dataset.id)]
    assert listed(uuid.uuid4()) == []
    assert api.get("/api/v1/datasets?model=x").json()["error"]["param"] == "model"


def test_rows_come_in_pages_in_their_order_with_their_reason(api, dataset):
    address = f"/api/v1/datasets/{dataset.id}/rows"

    first = api.get(f"{address}?limit=2").json()
    second = api.get(first["next"]).json()

    assert [row["position"] for row in first["results"] + second["results"]] == [0, 1, 2]
    assert second["next"] is None
    assert first["results"][0]["reason"] == "close to the requirement"
    assert "embedding" not in first["results"][0]


def test_rows_can_be_narrowed_to_a_split(api, dataset):
    address = f"/api/v1/datasets/{dataset.id}/rows"

    assert [row["position"] for row in api.get(f"{address}?split=test").json()["results"]] == [2]
    assert api.get(f"{address}?split=tset").json()["error"]["param"] == "split"


def test_a_page_of_rows_takes_a_constant_number_of_queries(api, dataset, django_assert_num_queries):
    address = f"/api/v1/datasets/{dataset.id}/rows"
    api.get(address)

    with django_assert_num_queries(4):  # token, membership, dataset, rows
        api.get(address)


def test_the_frozen_files_are_downloaded_as_they_are(api, dataset):
    address = f"/api/v1/datasets/{dataset.id}/export"

    everything = api.get(f"{address}?format=jsonl")
    test = api.get(f"{address}?format=jsonl&split=test")
    parquet = api.get(f"{address}?format=parquet")

    assert body_of(everything).splitlines() == [
        '{"split": "train"}',
        '{"split": "valid"}',
        '{"split": "test"}',
    ]
    assert body_of(test) == '{"split": "test"}\n'
    assert "bank-intents-dataset-1-test.jsonl" in test["Content-Disposition"]
    assert b"".join(parquet.streaming_content) == b"PAR1"
    assert api.get(f"{address}?format=csv").json()["error"]["param"] == "format"


def test_a_dataset_whose_files_are_gone_says_so(api, dataset, artifacts_dir):
    (artifacts_dir / dataset.folder / "test.jsonl").unlink()

    response = api.get(f"/api/v1/datasets/{dataset.id}/export")

    assert response.status_code == 404
    assert "no longer on the disk" in response.json()["error"]["message"]

import json

import pyarrow
import pyarrow.parquet
import pytest
from django.urls import reverse

from distillation.models import (
    CorpusExample,
    DatasetRow,
    DatasetVersion,
    DistillationRun,
    ImportRun,
    SourceDataset,
)
from modelstation import testing
from modelstation.core.models import Job

HOSTILE = "<script>alert('row')</script>"
INTENT = {
    "task_kind": "classify",
    "labels": ["card_arrival", "lost_card"],
    "queries": [{"text": "Label each message", "origin": "requirement"}],
}
FUNNEL = [{"filter": "near duplicate", "refused": 1234, "examples": ["my card, my card"]}]


def conversation(requested, answered):
    return [
        {"role": "system", "content": "Label the message."},
        {"role": "user", "content": requested},
        {"role": "assistant", "content": answered},
    ]


def make_source(name, *, org=None, rows=0, **fields):
    source = SourceDataset.objects.create(
        org=org, name=name, license="CC-BY-4.0", state="ready", row_count=rows, **fields
    )
    CorpusExample.objects.bulk_create(
        CorpusExample(
            source=source,
            content_hash=f"{name}-{number}",
            task="intent" if number % 2 else "question",
            license="CC-BY-4.0",
            messages=conversation(f"{name} asks {number}", "an answer"),
            tokens=12,
            embedding=[0.0] * 384,
        )
        for number in range(rows)
    )
    return source


def row(number, split="train", source="banking77", requested="", answered="lost_card"):
    return DatasetRow(
        position=number,
        split=split,
        messages=conversation(requested or f"where is card {number}", answered),
        source_name=source,
        task="intent",
        license="CC-BY-4.0",
        content_hash=f"{number:064}",
        score=0.5,
        reason=f"reason {number}",
        query="Label each message",
    )


def make_dataset(org, artifacts_dir, rows):
    model = testing.make_model(org)
    job = Job.objects.create(org=org, kind="distil", queue="distil", subject_id=model.id)
    run = DistillationRun.objects.create(
        org=org, job=job, model=model, intent=INTENT, funnel=FUNNEL
    )
    version = DatasetVersion.objects.create(
        org=org,
        model=model,
        run=run,
        number=1,
        digest="d" * 64,
        system_prompt="Label the message.",
        row_count=len(rows),
        split_counts=counts(rows, "split"),
        source_counts=counts(rows, "source_name"),
        license_counts=counts(rows, "license"),
        folder="dataset",
    )
    for made in rows:
        made.version = version
    DatasetRow.objects.bulk_create(rows)
    write_files(artifacts_dir / "dataset", rows)
    return version


def counts(rows, name):
    values = [getattr(made, name) for made in rows]
    return {value: values.count(value) for value in values}


def write_files(folder, rows):
    folder.mkdir(parents=True)
    for split in ("train", "valid", "test"):
        records = [{"messages": r.messages, "score": r.score} for r in rows if r.split == split]
        text = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{split}.jsonl").write_text(text)
    records = [{"split": r.split, "messages": r.messages} for r in rows]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), folder / "dataset.parquet")


@pytest.fixture
def dataset(org, artifacts_dir):
    rows = [row(number) for number in range(3)]
    rows += [row(3, "valid", "clinc150"), row(4, "test", "clinc150", requested="say ‘naïve’ “now”")]
    return make_dataset(org, artifacts_dir, rows)


def url(name, org, **kwargs):
    return reverse(name, kwargs={"org": org.slug, **kwargs})


def text_of(response):
    assert response.status_code == 200
    return response.content.decode()


ROUTES = [
    {"source": "banking77", "rows": 9000, "chosen": True, "verdict": "serves", "gain": 0.94},
    {
        "source": "smalltalk", "source_id": "01a22f36-ccb2-7373-95ca-fbe33a2f2f8e",
        "rows": 896, "verdict": "related", "gain": 0.12,
        "reason": "its rows help to find your answers 12% as much as your own examples do",
        "samples": [{"input": HOSTILE, "output": "fine, thanks"}],
    },
]  # fmt: skip


def test_the_dataset_says_how_each_source_fits_and_shows_rows_of_those_not_used(
    as_bob, org, dataset
):
    DistillationRun.objects.update(intent=INTENT | {"sources": ROUTES})
    page = text_of(as_bob.get(url("dataset", org, dataset_id=dataset.id)))
    assert "94%" in page
    related = page[page.index("Related, not used") :]
    assert "12% as much as your own examples do" in related
    assert "fine, thanks" in related
    assert HOSTILE not in page
    assert "banking77" not in related[: related.index("</section>")]


# --- sources --------------------------------------------------------------------------------------


def test_a_stranger_sees_no_source_of_acme(as_charlie, org):
    own = make_source("private", org=org)
    assert as_charlie.get(url("sources", org)).status_code == 404
    assert as_charlie.get(url("source", org, source_id=own.id)).status_code == 404


def test_a_member_sees_public_sources_and_the_organisations_own(as_bob, org):
    make_source("public-one", rows=1)
    make_source("acme-own", org=org)
    make_source("elsewhere", org=testing.make_org("Other"))
    page = text_of(as_bob.get(url("sources", org)))
    assert "public-one" in page
    assert "acme-own" in page
    assert "elsewhere" not in page


def test_without_sources_the_page_says_how_to_get_one(as_bob, org):
    page = text_of(as_bob.get(url("sources", org)))
    assert "No sources yet" in page
    assert "manage.py seed" in page


def test_imports_show_what_they_refused(as_bob, org):
    error = {"line": 7, "field": "answer", "code": "empty", "message": "No answer.", "hint": "Add"}
    ImportRun.objects.create(origin="mine.jsonl", state="done", rows_rejected=1, errors=[error])
    ImportRun.objects.create(origin="theirs.csv", org=testing.make_org("Other"))
    page = text_of(as_bob.get(url("sources", org)))
    assert "Line 7, answer: No answer." in " ".join(page.split())
    assert "theirs.csv" not in page


@pytest.mark.parametrize("name", ["sources", "source"])
def test_queries_do_not_grow_with_the_rows(as_bob, org, name, django_assert_num_queries):
    arguments = {"source_id": make_source("first", rows=2).id} if name == "source" else {}
    page = url(name, org, **arguments)
    with CountQueries() as few:
        as_bob.get(page)
    make_source("second", rows=9)
    ImportRun.objects.create(origin="a.jsonl")
    ImportRun.objects.create(origin="b.jsonl")
    with django_assert_num_queries(len(few)):
        as_bob.get(page)


def CountQueries():
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    return CaptureQueriesContext(connection)


def test_a_source_shows_its_rows_a_page_at_a_time(as_bob, org):
    source = make_source("banking", rows=51)
    address = url("source", org, source_id=source.id)
    first = text_of(as_bob.get(address))
    assert "banking asks 0" in first
    assert "banking asks 50" not in first
    assert "banking asks 50" in text_of(as_bob.get(address, {"page": 2}))


def test_a_source_can_be_read_by_task_and_never_loads_vectors(as_bob, org):
    source = make_source("banking", rows=4)
    with CountQueries() as queries:
        page = text_of(as_bob.get(url("source", org, source_id=source.id), {"task": "intent"}))
    assert "banking asks 1" in page
    assert "banking asks 2" not in page
    assert not any("embedding" in query["sql"] for query in queries)


# --- a dataset ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dataset", "dataset_jsonl", "dataset_parquet"])
def test_a_stranger_gets_no_dataset(as_charlie, org, dataset, name):
    assert as_charlie.get(url(name, org, dataset_id=dataset.id)).status_code == 404


def test_another_organisations_dataset_is_not_found_under_ones_own(as_charlie, charlie, dataset):
    own = charlie.organizations.get()
    assert as_charlie.get(url("dataset", own, dataset_id=dataset.id)).status_code == 404


def test_a_dataset_says_what_was_chosen_from_where_and_why(as_bob, org, dataset):
    page = text_of(as_bob.get(url("dataset", org, dataset_id=dataset.id)))
    for stated in ("banking77", "CC-BY-4.0", "label each input", "near duplicate", "1,234"):
        assert stated in page
    assert "reason 2" in page
    assert "d" * 64 in page


@pytest.mark.parametrize(
    ("requested", "result"),
    [
        ({"split": "valid"}, [3]),
        ({"source": "clinc150"}, [3, 4]),
        ({"split": "test", "source": "banking77"}, []),
        ({"q": "CARD 2"}, [2]),
        ({"q": "naïve’ “now"}, [4]),
        ({"q": "lost_card", "split": "train"}, [0, 1, 2]),
        ({"q": "Label the message"}, []),  # the system prompt, which all rows share
        ({"split": "nonsense"}, [0, 1, 2, 3, 4]),
    ],
)
def test_rows_can_be_filtered(as_bob, org, dataset, requested, result):
    response = as_bob.get(url("dataset", org, dataset_id=dataset.id), requested)
    assert [made.position for made in response.context["page"]] == result
    assert ("No row matches" in text_of(response)) == (not result)


def test_text_of_rows_is_escaped(as_bob, org, artifacts_dir):
    hostile = [row(0, requested=HOSTILE, answered=HOSTILE)]
    made = make_dataset(org, artifacts_dir, hostile)
    assert HOSTILE not in text_of(as_bob.get(url("dataset", org, dataset_id=made.id)))
    source = make_source("hostile", rows=1)
    source.examples.update(messages=conversation(HOSTILE, HOSTILE), task=HOSTILE)
    assert HOSTILE not in text_of(as_bob.get(url("source", org, source_id=source.id)))


def test_a_dataset_page_asks_as_much_for_fifty_rows_as_for_one(
    as_bob, org, artifacts_dir, django_assert_num_queries
):
    few = make_dataset(org, artifacts_dir / "few", [row(0)])
    with CountQueries() as queries:
        as_bob.get(url("dataset", org, dataset_id=few.id))
    few.rows.all().delete()
    more = [row(number) for number in range(60)]
    for made in more:
        made.version = few
    DatasetRow.objects.bulk_create(more)
    with django_assert_num_queries(len(queries)):
        page = text_of(as_bob.get(url("dataset", org, dataset_id=few.id)))
    assert "1–50 of 60" in page


# --- downloads ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("split", "positions", "file_name"),
    [
        ("", [0, 1, 2, 3, 4], "bank-intents-dataset-1.jsonl"),
        ("train", [0, 1, 2], "bank-intents-dataset-1-train.jsonl"),
        ("test", [4], "bank-intents-dataset-1-test.jsonl"),
    ],
)
def test_jsonl_holds_exactly_the_rows_as_chat_lines(
    as_bob, org, dataset, split, positions, file_name
):
    address = url("dataset_jsonl", org, dataset_id=dataset.id)
    response = as_bob.get(address, {"split": split} if split else {})
    lines = [json.loads(line) for line in response.getvalue().decode().split("\n") if line]
    rows = dataset.rows.filter(position__in=positions)
    assert lines == [{"messages": made.messages} for made in rows]
    assert response["Content-Disposition"] == f'attachment; filename="{file_name}"'


def test_parquet_holds_exactly_the_rows(as_bob, org, dataset):
    response = as_bob.get(url("dataset_parquet", org, dataset_id=dataset.id))
    table = pyarrow.parquet.read_table(pyarrow.BufferReader(response.getvalue()))
    assert [r["messages"] for r in table.to_pylist()] == [r.messages for r in dataset.rows.all()]
    assert "bank-intents-dataset-1.parquet" in response["Content-Disposition"]


def test_an_unknown_split_is_not_found(as_bob, org, dataset):
    address = url("dataset_jsonl", org, dataset_id=dataset.id)
    assert as_bob.get(address, {"split": "../../etc"}).status_code == 404


def test_a_file_that_is_gone_is_told_in_a_sentence(as_bob, org, dataset, artifacts_dir):
    (artifacts_dir / "dataset" / "dataset.parquet").unlink()
    response = as_bob.get(url("dataset_parquet", org, dataset_id=dataset.id))
    assert response.status_code == 400
    assert "no longer on the disk" in response.content.decode()


# --- operators ------------------------------------------------------------------------------------


@pytest.fixture
def as_operator(db, client):
    operator = testing.make_user("root@example.org", is_staff=True, is_superuser=True)
    client.force_login(operator)
    return client


@pytest.mark.parametrize(
    "name", ["sourcedataset", "importrun", "distillationrun", "datasetversion"]
)
def test_operators_find_data_in_the_admin(as_operator, dataset, name):
    make_source("findable")
    ImportRun.objects.create(origin="findable.jsonl")
    page = reverse(f"admin:distillation_{name}_changelist")
    assert as_operator.get(page, {"q": "a"}).status_code == 200


def test_operators_cancel_and_requeue_a_run(as_operator, dataset):
    page = reverse("admin:distillation_distillationrun_changelist")
    selected = {"_selected_action": [str(dataset.run_id)]}
    as_operator.post(page, {"action": "cancel", **selected})
    assert Job.objects.get(distillation_run=dataset.run_id).state == "cancelled"
    as_operator.post(page, {"action": "requeue", **selected})
    as_operator.post(page, {"action": "requeue", **selected})  # one is queued already
    assert Job.objects.filter(subject_id=dataset.model_id, state="queued").count() == 1

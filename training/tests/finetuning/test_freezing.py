"""From uploaded rows to a frozen dataset: splits, duplicates, prompts, the training's config."""

import pytest

from distillation.datasets.lineage import lineage_of
from distillation.models import DatasetVersion
from modelstation import testing
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.models import Job
from training.finetuning.files import path_of
from training.finetuning.freezing import common_system_prompt, deal, intent_of, training_config
from training.finetuning.ids import file_name_of
from training.finetuning.lines import read_lines
from training.models import FineTuningRequest, UploadedFile
from training.tests.finetuning.rows import chat_row, jsonl, work_off


@pytest.fixture
def rows(tmp_path):
    """`rows(numbers, …)`: chat rows as they are read."""

    def read(numbers, **options):
        path = tmp_path / "rows.jsonl"
        path.write_bytes(jsonl(chat_row(number, **options) for number in numbers))
        return list(read_lines(path))

    return read


def counts(dealt):
    return {split: len(dealt.of(split)) for split in ("train", "valid", "test")}


# --- Splits ---------------------------------------------------------------------------------------


def test_without_a_validation_file_rows_are_held_out_by_their_content(rows):
    dealt = deal(rows(range(100)), [], seed=1)
    again = deal(rows(reversed(range(100))), [], seed=1)
    other = deal(rows(range(100)), [], seed=2)

    assert counts(dealt) == {"train": 65, "valid": 10, "test": 25}
    held_out = [{row.content_hash for row in each.of("test")} for each in (dealt, again, other)]
    assert held_out[0] == held_out[1] != held_out[2]
    assert dealt.notes == []


def test_the_fewest_rows_still_have_some_to_measure_on(rows):
    assert counts(deal(rows(range(10)), [], seed=0)) == {"train": 7, "valid": 1, "test": 2}


def test_all_of_the_training_file_is_trained_on_beside_a_validation_file(rows):
    dealt = deal(rows(range(40)), rows(range(100, 120)), seed=1, names=("file-a", "file-b"))

    assert counts(dealt) == {"train": 40, "valid": 10, "test": 10}
    assert {(split, file) for _, split, file in dealt.rows} == {
        ("train", "file-a"),
        ("valid", "file-b"),
        ("test", "file-b"),
    }


def test_a_small_validation_file_is_not_cut_in_two(rows):
    dealt = deal(rows(range(40)), rows(range(100, 106)), seed=1)

    assert counts(dealt) == {"train": 30, "valid": 6, "test": 10}


def test_exact_duplicates_and_held_out_rows_are_not_trained_on_and_that_is_reported(rows):
    dealt = deal(rows([*range(40), 0, 1, 2]), rows([*range(35, 55), 50]), seed=1)

    assert counts(dealt)["train"] == 35
    assert (dealt.duplicates, dealt.held_out_again) == (4, 5)
    assert [line.split()[0] for line in dealt.notes] == ["4", "5"]


def test_rows_with_the_same_input_never_straddle_splits(rows):
    twice = [row for n in range(30) for row in (*rows([n]), *rows([n], system="Another."))]

    dealt = deal(twice, [], seed=3)

    splits = {}
    for row, split, _ in dealt.rows:
        splits.setdefault(row.messages[1]["content"], set()).add(split)
    assert len(splits) == 30
    assert all(len(found) == 1 for found in splits.values())


def talk(number, opening="Hello", greeting="Hi."):
    said = [("user", opening), ("assistant", greeting)]
    said += [("user", f"Ticket {number}"), ("assistant", f"label {number % 3}")]
    said += [("user", f"And ticket {number}0?"), ("assistant", f"label {number % 7}")]
    return {"messages": [{"role": role, "content": content} for role, content in said]}


@pytest.fixture
def talks(tmp_path):
    """`talks(conversations)`: as they are read, a row for each answer."""

    def read(conversations):
        path = tmp_path / "talks.jsonl"
        path.write_bytes(jsonl(conversations))
        return list(read_lines(path))

    return read


def sides(dealt):
    """The splits that the answers of each conversation were dealt to."""
    found = {}
    for row, split, _ in dealt.rows:
        if len(row.messages) > 2:
            found.setdefault(row.messages[2]["content"], set()).add(split)
    return found


def test_the_answers_of_one_conversation_never_straddle_splits(talks):
    dealt = deal(talks(talk(n, opening=f"Hello {n}") for n in range(60)), [], seed=1)

    assert all(len(found) == 1 for found in sides(dealt).values())
    assert len(dealt.rows) == 180
    assert counts(dealt)["test"] > 20
    assert counts(dealt)["valid"] > 5


def test_nor_do_those_of_a_validation_file(talks, rows):
    held_out = talks(talk(n, opening=f"Hello {n}") for n in range(20))

    dealt = deal(rows(range(40)), held_out, seed=1)

    splits = {}
    for row, split, _ in dealt.rows:
        if "Hello" in row.messages[0]["content"]:
            splits.setdefault(row.messages[0]["content"], set()).add(split)
    assert len(splits) == 20
    assert all(len(found) == 1 for found in splits.values())


def test_conversations_that_open_alike_are_held_out_all_the_same(talks):
    dealt = deal(talks(talk(n, greeting=f"Hi {n}.") for n in range(60)), [], seed=1)

    assert counts(dealt)["test"] > 20
    openings = {split for row, split, _ in dealt.rows if len(row.messages) == 2}
    assert openings == {"train"}
    assert dealt.known_openings > 0
    assert dealt.notes[-1].startswith(f"{dealt.known_openings} held-out answers")


def test_too_few_different_rows_are_refused(rows):
    with pytest.raises(UserFacingError) as refused:
        deal(rows([*range(9), 0, 1]), [], seed=0)

    assert (refused.value.code, refused.value.param) == ("not_enough_data", "training_file")


# --- What the rows say of themselves --------------------------------------------------------------


def test_a_prompt_that_all_rows_share_is_the_models_own(rows):
    assert common_system_prompt(rows(range(3))) == "Label the ticket."
    assert common_system_prompt(rows(range(3)) + rows([4], system="Other.")) == ""
    assert common_system_prompt(rows(range(3)) + rows([4], system="")) == ""


def test_answers_say_the_kind_of_task(rows):
    labels = intent_of(rows(range(30)))
    assert (labels["task_kind"], labels["labels"]) == ("classify", ["delivery", "login", "refund"])
    objects = rows(range(30), content='{"a": 1}')
    assert intent_of(objects)["task_kind"] == "extract_json"
    prose = rows(range(30), content="I am sorry to hear that. We will look at it at once.")
    assert intent_of(prose)["task_kind"] == "generate"


# --- The job --------------------------------------------------------------------------------------


@pytest.fixture
def request_for(tiny, org, alice, uploads_dir):
    """`request_for(rows, …)`: a request for a job on these rows."""

    def make(rows, validation=None, **fields):
        model = testing.make_model(org, base=tiny, name=f"Model {Job.objects.count()}")
        job = jobs.submit(kind="freeze", org=org, subject_id=model.id)
        return FineTuningRequest.objects.create(
            org=org,
            job=job,
            model=model,
            training_file=keep(org, rows).id,
            validation_file=keep(org, validation).id if validation else None,
            **{"seed": 5} | fields,
        )

    return make


def keep(org, rows):
    file = UploadedFile(org=org, filename="rows.jsonl", purpose="fine-tune", status="processed")
    file.path = f"{org.id}/files/{file.id}/file/rows.jsonl"
    path_of(file).parent.mkdir(parents=True)
    path_of(file).write_bytes(jsonl(rows))
    file.bytes = path_of(file).stat().st_size
    file.save()
    return file


@pytest.mark.django_db(transaction=True)
def test_the_rows_are_frozen_as_they_are_and_their_descent_is_reported(request_for, artifacts_dir):
    requested = [chat_row(i, system=f"Label it, please, {i % 2}.") for i in range(40)]
    request = request_for([*requested, requested[0]])

    work_off(["freeze"])

    dataset = DatasetVersion.objects.select_related("run", "model").get()
    assert (dataset.state, dataset.row_count) == ("frozen", 40)
    assert dataset.system_prompt == ""
    found = {row.messages[0]["content"] for row in dataset.rows.all()}
    assert found == {"Label it, please, 0.", "Label it, please, 1."}
    name = file_name_of(request.training_file)
    assert dataset.license_counts == {"own data": 40}
    assert dataset.source_counts == {f"uploaded file {name}": 40}
    assert dataset.run.config["training_file"] == name
    assert dataset.run.funnel[0] == {
        "filter": "exact duplicates",
        "refused": 1,
        "kept": 40,
        "examples": [],
    }
    assert lineage_of(dataset).verdict in ("verified", "unknown")  # no corpus row to compare with
    assert not [c for c in lineage_of(dataset).checks if c.verdict == "differs"]
    lines = (artifacts_dir / dataset.folder / "train.jsonl").read_text().splitlines()
    assert len(lines) == dataset.split_counts["train"]
    messages = request.job.events.values_list("message", flat=True)
    assert "1 exact duplicates are trained on once." in messages
    training = Job.objects.get(kind="train")
    assert (training.subject_id, training.state) == (request.model_id, "queued")
    request.model.refresh_from_db()
    assert request.model.training_config == {"seed": 5}


@pytest.mark.django_db(transaction=True)
def test_each_answer_of_a_conversation_is_a_row_that_says_where_it_is_from(
    request_for, artifacts_dir
):
    request_for([talk(n, opening=f"Hello {n}") for n in range(20)])

    work_off(["freeze"])

    dataset = DatasetVersion.objects.get()
    assert dataset.row_count == 60
    of_first = dataset.rows.filter(reason__startswith="Line 1 of the uploaded file").order_by("id")
    assert [row.reason for row in of_first] == [
        "Line 1 of the uploaded file.",
        "Line 1 of the uploaded file, up to its answer 2.",
        "Line 1 of the uploaded file, up to its answer 3.",
    ]
    assert len({row.twin_group for row in of_first}) == 1
    assert len({row.twin_group for row in dataset.rows.all()}) == 20
    assert not [c for c in lineage_of(dataset).checks if c.verdict == "differs"]


@pytest.mark.django_db(transaction=True)
def test_a_file_that_is_gone_ends_the_job_with_its_reason(request_for, alice):
    request = request_for([chat_row(i) for i in range(40)])
    UploadedFile.objects.all().delete()

    work_off(["freeze"])

    request.job.refresh_from_db()
    request.model.refresh_from_db()
    assert (request.job.state, request.job.error_code) == ("failed", "no_file")
    assert (request.model.status, request.model.status_reason) == (
        "failed",
        "The uploaded file is gone.",
    )
    assert not DatasetVersion.objects.exists()


@pytest.mark.django_db
def test_rows_and_a_multiplier_become_tokens_and_a_rate(request_for, rows):
    read = rows(range(60))
    dealt = deal(read, [], seed=5)
    plain = training_config(request_for([]), dealt)

    wished = {"n_epochs": 3, "batch_size": 4, "learning_rate_multiplier": 0.5}
    config = training_config(request_for([], hyperparameters=wished), dealt)
    wished["learning_rate_multiplier"] = 1
    doubled = training_config(request_for([], hyperparameters=wished), dealt)

    assert plain == {"seed": 5}
    assert config["epochs"] == 3
    assert config["learning_rate"] == pytest.approx(doubled["learning_rate"] / 2, rel=0.01)
    twice = request_for([], hyperparameters={"batch_size": 8})
    ratio = training_config(twice, dealt)["tokens_per_batch"] / config["tokens_per_batch"]
    assert ratio == pytest.approx(2, rel=0.05)


@pytest.mark.django_db
def test_long_rows_are_read_as_far_as_the_base_can(request_for, rows):
    dealt = deal(rows(range(20), content="lost parcel " * 400), [], seed=5)

    config = training_config(request_for([]), dealt)

    assert config["max_seq_len"] > 1024

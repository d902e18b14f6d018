"""The bridge from an uploaded file to a frozen dataset: its rows as they are, nothing selected.

Only rows that are there twice, to the letter, are left out, and that is logged. Rows to validate
and to measure on come of the validation file, else of the training file by a seeded hash of their
content; rows with the same input never straddle splits, nor do the answers of one conversation.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from django.conf import settings

from distillation.curation import freezing
from distillation.curation import services as curation
from distillation.datasets.cards import facts_of_version
from distillation.datasets.lineage import UPLOAD
from distillation.imports.reading.errors import ImportRefused, RowError
from distillation.imports.reading.rows import ExampleRow
from distillation.models import DatasetRow, DatasetVersion, DistillationRun
from distillation.pipeline.choose.selection import seeded_key
from distillation.pipeline.choose.splits import assign_splits
from distillation.pipeline.coverage import names_in
from distillation.pipeline.intent_facts import IntentFacts
from distillation.pipeline.licenses import OWN_DATA
from distillation.pipeline.text import input_key, input_text
from distillation.pipeline.types import FunnelStep, SelectionConfig
from models_app import services as model_services
from models_app.models import CustomModel
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.jobs.jobs import Publish
from modelstation.core.jobs.lease import Lease
from modelstation.core.models import Job
from modelstation.lm.chat import Message, load_renderer
from training.finetuning.files import path_of
from training.finetuning.ids import file_name_of
from training.finetuning.lines import kind_of, read_lines
from training.models import FineTuningRequest, UploadedFile
from training.plan.estimate.estimates import Facts
from training.plan.estimate.preflight import preflight
from training.plan.estimate.token_facts import LONGEST_ROWS, SAMPLE_ROWS, DataFacts, count_tokens
from training.plan.services import checked, known_machine, shape_of
from training.recipes.config import Settings, TrainingConfig

MIN_FILE_ROWS = 10
MIN_SHARED_ROWS = 10  # a validation file of fewer is not cut in two
MAX_LABELS = 200
Names = tuple[str, str]  # of the file to train on, and of the one to validate on
ROWS_PER_INSERT = 1000


@dataclass
class Dealt:
    """The rows of a job, each with its split and its file; what was left out."""

    rows: list[tuple[ExampleRow, str, str]] = field(default_factory=list)
    duplicates: int = 0
    held_out_again: int = 0  # rows to train on that the validation file holds too
    known_openings: int = 0  # held-out rows that open as conversations which are trained on

    def of(self, split: str) -> list[ExampleRow]:
        return [row for row, dealt, _ in self.rows if dealt == split]

    @property
    def notes(self) -> list[str]:
        counted = {
            "exact duplicates are trained on once.": self.duplicates,
            "rows of the training file are in the validation file too: they are not trained "
            "on.": self.held_out_again,
            "held-out answers are to what conversations open with that are trained on: nothing is "
            "measured on them.": self.known_openings,
        }
        return [f"{rows:,} {sentence}" for sentence, rows in counted.items() if rows]


def freeze(job: Job, lease: Lease) -> Publish:
    """Make a frozen dataset of the uploaded rows, and the training on it."""
    request = request_of(job)
    model = request.model
    model_services.begin_stage(model.id, CustomModel.Status.DISTILLING)
    lease.stage("freeze", "Reading the uploaded rows")
    dealt = deal(
        _rows_of(request, request.training_file),
        _rows_of(request, request.validation_file) if request.validation_file else [],
        seed=request.seed,
        names=(file_name_of(request.training_file), file_name_of(request.validation_file)),
    )
    lease.check()
    for line in dealt.notes:
        lease.log(line)
    config = training_config(request, dealt)
    version = _version(job, request, dealt)
    groups = _conversations([row for row, _, _ in dealt.rows])
    rows = [
        _dataset_row(version, i, *row, group)
        for i, (row, group) in enumerate(zip(dealt.rows, groups, strict=True))
    ]
    freezing.count(version, freezing.groups_of(rows))
    version.number = curation.next_number(model.id)
    version.folder = f"{model.id}/datasets/{job.id}-{job.attempt}"
    freezing.seal(version, rows)
    freezing.write_files(version, rows, facts_of_version(version, rows))
    lease.check()
    return lambda: _publish(version, rows, config)


def request_of(job: Job) -> FineTuningRequest:
    """Return the request of a job; one that was queued again works on the same."""
    requests = FineTuningRequest.objects.select_related("model__org", "model__base")
    request: FineTuningRequest | None = requests.filter(model_id=job.subject_id).first()
    if request is None:
        raise UserFacingError("The request of this job is gone.", code="no_request")
    return request


def deal(
    training: list[ExampleRow], validation: list[ExampleRow], *, seed: int, names: Names = ("", "")
) -> Dealt:
    """Deal every distinct row to a split."""
    dealt = Dealt()
    held_out = _distinct(validation, dealt)
    kept_back = {row.content_hash for row in held_out}
    given = _distinct(training, dealt)
    to_train = [row for row in given if row.content_hash not in kept_back]
    dealt.held_out_again = len(given) - len(to_train)
    if len(to_train) < MIN_FILE_ROWS:
        raise too_few(len(to_train))
    if len(held_out) >= MIN_SHARED_ROWS:
        splits = ["train"] * len(to_train)
        held_splits = _halves(held_out, seed)
    else:
        config = SelectionConfig(rows=len(to_train), seed=seed)
        config = replace(config, valid_share=0.0) if held_out else config
        numbers: dict[str, int] = {}
        groups = [numbers.setdefault(key, len(numbers)) for key in _conversations(to_train)]
        hashes = [row.content_hash for row in to_train]
        kind = kind_of(to_train)
        taught = [names_in(row.messages[-1]["content"], kind) for row in to_train]
        splits = assign_splits(hashes, groups, config, held_out=False, names=taught)
        held_splits = ["valid"] * len(held_out)
    known = _without_known_openings(to_train, splits)
    dealt.rows = [(row, split, names[0]) for row, split in known]
    dealt.known_openings = len(to_train) - len(dealt.rows)
    dealt.rows += [(row, split, names[1]) for row, split in zip(held_out, held_splits, strict=True)]
    return dealt


def too_few(rows: int) -> UserFacingError:
    return UserFacingError(
        f"The training file has {rows} different rows; at least {MIN_FILE_ROWS} are needed.",
        code="not_enough_data",
        param="training_file",
        hint="Add rows, and upload it again.",
    )


def _distinct(rows: Sequence[ExampleRow], dealt: Dealt) -> list[ExampleRow]:
    first = {row.content_hash: row for row in reversed(rows)}
    kept = [row for row in rows if first[row.content_hash] is row]
    dealt.duplicates += len(rows) - len(kept)
    return kept


def _halves(rows: list[ExampleRow], seed: int) -> list[str]:
    """Split them: one half chooses the checkpoint, the other measures the result."""
    groups = _conversations(rows)
    order = sorted(set(groups), key=lambda key: seeded_key(seed, key))
    half = set(order[: len(order) // 2])
    return ["valid" if group in half else "test" for group in groups]


def _conversations(rows: Sequence[ExampleRow]) -> list[str]:
    """Return a key for what must fall on one side: rows that follow one another, each the
    beginning of the next, are of one conversation. Its whole input is its key, so that twins
    have the same.
    """
    keys: list[str] = []
    following: list[Message] = []
    for messages in (row.messages for row in reversed(rows)):
        is_opening = messages == following[: len(messages)] and len(messages) < len(following)
        keys.append(keys[-1] if is_opening else input_key(input_text(messages)))
        following = messages
    return keys[::-1]


def _without_known_openings(
    rows: list[ExampleRow], splits: list[str]
) -> list[tuple[ExampleRow, str]]:
    """Drop held-out rows that open like trained ones. Many conversations may open alike: were
    they all kept on one side, nothing would be left for the other. So a held-out answer is
    dropped where the same question is in what is trained on.
    """
    twins = [input_key(input_text(row.messages)) for row in rows]
    trained = {twin for twin, split in zip(twins, splits, strict=True) if split == "train"}
    dealt = zip(rows, splits, twins, strict=True)
    return [(row, split) for row, split, twin in dealt if split == "train" or twin not in trained]


def _rows_of(request: FineTuningRequest, file_id: Any) -> list[ExampleRow]:
    file = UploadedFile.objects.for_org(request.org).filter(id=file_id).first()
    if file is None:
        raise UserFacingError("The uploaded file is gone.", code="no_file", param="training_file")
    try:
        rows = list(read_lines(path_of(file)))
    except ImportRefused as error:
        raise UserFacingError(error.message, code=error.code, hint=error.hint) from error
    bad = next((row for row in rows if isinstance(row, RowError)), None)
    if bad is not None:
        raise UserFacingError(str(bad), code="invalid_file")
    return [row for row in rows if isinstance(row, ExampleRow)]


# --- the dataset ----------------------------------------------------------------------------------


def _version(job: Job, request: FineTuningRequest, dealt: Dealt) -> DatasetVersion:
    """Not saved yet."""
    rows = [row for row, _, _ in dealt.rows]
    run = DistillationRun(
        job=job,
        org=request.org,
        model=request.model,
        config={
            "training_file": file_name_of(request.training_file),
            "validation_file": file_name_of(request.validation_file),
            "seed": request.seed,
        },
        intent=intent_of(rows),
        funnel=[step.to_json() for step in _funnel(dealt)],
    )
    return DatasetVersion(
        org=request.org,
        model=request.model,
        run=run,
        state=DatasetVersion.State.FROZEN,
        system_prompt=common_system_prompt(rows),
    )


def common_system_prompt(rows: Sequence[ExampleRow]) -> str:
    """Return the prompt that all rows share: where they open with the same one it is the
    model's; else each row keeps its own.
    """
    openings = [row.messages[0] for row in rows]
    prompts = {first["content"] if first["role"] == "system" else "" for first in openings}
    return prompts.pop() if len(prompts) == 1 else ""


def intent_of(rows: Sequence[ExampleRow]) -> dict[str, Any]:
    """Return what the answers show of the task, for the choice of a metric."""
    answers = [row.messages[-1]["content"] for row in rows]
    kind = kind_of(rows)
    labels = sorted(set(answers)) if kind == "classify" else []
    if len(labels) > MAX_LABELS:
        kind, labels = "generate", []
    return IntentFacts(
        task_kind=kind,
        labels=tuple(labels),
        label_count=len(labels),
        answer_min_chars=min(map(len, answers)),
        answer_max_chars=max(map(len, answers)),
        system_prompt=common_system_prompt(rows),
    ).to_json()


def _funnel(dealt: Dealt) -> list[FunnelStep]:
    kept = len(dealt.rows)
    to_deal = kept + dealt.known_openings
    return [
        FunnelStep("exact duplicates", dealt.duplicates, to_deal + dealt.held_out_again),
        FunnelStep("also in the validation file", dealt.held_out_again, to_deal),
        FunnelStep("held out, and opening as what is trained on", dealt.known_openings, kept),
    ]


def _dataset_row(
    version: DatasetVersion, position: int, row: ExampleRow, split: str, file: str, group: str
) -> DatasetRow:
    answers = sum(message["role"] == "assistant" for message in row.messages)
    as_far = f", up to its answer {answers}" if answers > 1 else ""
    return DatasetRow(
        version=version,
        position=position,
        split=split,
        messages=row.messages,
        source_name=f"{UPLOAD}{file}",
        task=row.task,
        license=OWN_DATA,
        content_hash=row.content_hash,
        corpus_hash="",
        twin_group=hashlib.sha256(group.encode()).hexdigest(),
        score=1.0,
        scores={},
        reason=f"Line {row.line} of the uploaded file{as_far}.",
        step="upload",
    )


def _publish(version: DatasetVersion, rows: list[DatasetRow], config: Settings) -> None:
    """In the transaction that ends the job: the version, and the job to train on it."""
    model = version.model
    version.run.save()
    version.number = curation.next_number(model.id)
    version.save()
    DatasetRow.objects.bulk_create(rows, batch_size=ROWS_PER_INSERT)
    CustomModel.objects.filter(id=model.id).update(
        training_config=config, system_prompt=version.system_prompt
    )
    jobs.submit(kind="train", org=version.org, subject_id=model.id)


# --- hyperparameters ------------------------------------------------------------------------------


def requested_config(request: FineTuningRequest) -> Settings:
    """Return what is known of the training's config before the rows are."""
    epochs = request.hyperparameters.get("n_epochs", "auto")
    return {"seed": request.seed} | ({} if epochs == "auto" else {"epochs": epochs})


def training_config(request: FineTuningRequest, dealt: Dealt) -> Settings:
    """Turn hyperparameters into a config: rows in a batch become tokens in a batch, a multiplier
    a learning rate: both need the rows counted by the base's tokenizer.
    """
    base, hyperparameters = request.model.base, request.hyperparameters
    facts = Facts(_token_facts(base.name, dealt), shape_of(base))
    config = requested_config(request)
    longest = max(facts.data.lengths)
    if longest > TrainingConfig.max_seq_len:
        config["max_seq_len"] = min(facts.shape.context, longest)
    if (batch_size := hyperparameters.get("batch_size", "auto")) != "auto":
        own = [length - facts.data.prefix for length in facts.data.lengths]
        config["tokens_per_batch"] = max(16, *own, round(batch_size * sum(own) / len(own)))
    if (multiplier := hyperparameters.get("learning_rate_multiplier", "auto")) != "auto":
        settled = preflight(checked(config), facts, known_machine()).config
        if settled.learning_rate:
            config["learning_rate"] = float(f"{settled.learning_rate * multiplier:.4g}")
    return config


def _token_facts(base: str, dealt: Dealt) -> DataFacts:
    """Count a sample spread over the rows to train on, and those that look longest."""
    rows = [row.messages for row in dealt.of("train")]
    sample = rows[:: max(1, -(-len(rows) // SAMPLE_ROWS))]
    if len(sample) < len(rows):
        sample += sorted(rows, key=lambda row: -sum(len(m["content"]) for m in row))[:LONGEST_ROWS]
    renderer = load_renderer(Path(settings.MODELS_DIR) / base)
    return count_tokens(sample, renderer, rows=len(rows), valid_rows=len(dealt.of("valid")))

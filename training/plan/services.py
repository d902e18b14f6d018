"""The bridge of the plan: a model's rows and this installation's machine become the facts of a
preflight; what it says is shown before a start, checked there, and kept with the run.
"""

import os
import socket
import statistics
from collections.abc import Container, Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from django.conf import settings
from django.core.cache import cache
from django.db.models import TextField
from django.db.models.functions import Cast, Length

from distillation.datasets.coverage import coverage_of
from distillation.models import DatasetVersion
from distillation.pipeline.types import SelectionConfig
from models_app.contract.services import Contract
from models_app.models import CustomModel, FoundationModel
from modelstation.core.errors import UserFacingError
from modelstation.core.models import Job
from modelstation.lm.chat import load_renderer
from training.models import MachineProfile, TrainingRun
from training.plan.estimate.estimates import Band, Estimate, Facts, Machine, Refusal, RunPlan
from training.plan.estimate.explain import explain
from training.plan.estimate.measure import disk_free, memory
from training.plan.estimate.preflight import preflight
from training.plan.estimate.shapes import BaseShape, guessed_shape, read_shape
from training.plan.estimate.token_facts import (
    LONGEST_ROWS,
    SAMPLE_ROWS,
    DataFacts,
    count_tokens,
    guess_tokens,
)
from training.plan.profiling import ensure_measured
from training.plan.students import Student, student_of
from training.recipes.config import Settings, TrainingConfig, config_from
from training.recipes.facts import TrainingFacts
from training.scoring.criterion import Criterion
from training.scoring.metrics import unreadable
from training.scoring.outcomes import needs

COUNTED_FOR_SECONDS = 24 * 3600
RUNS_LOOKED_AT = 10
RATIO_BOUNDS = (0.2, 5.0)  # beyond them something else was wrong with the run
CHOOSE_METRIC = "Copy the model and choose another metric, or none: one is chosen by the task."
DEFAULT_FLOPS_PER_CORE = 40e9


@dataclass(frozen=True)
class Plan:
    """What would be run, what it would cost, and why."""

    requested: Settings
    estimate: Estimate
    reasons: dict[str, str]
    machine: Machine
    dataset: DatasetVersion | None
    is_sample: bool
    student: Student

    @property
    def resolved(self) -> Settings:
        return self.estimate.config.to_json()

    @property
    def seconds(self) -> Band:
        minutes = self.estimate.minutes
        return Band(*(60 * each for each in (minutes.low, minutes.expected, minutes.high)))

    @property
    def room(self) -> int:
        """Bytes of memory that are free where it would run; 0 when that is not known."""
        return self.machine.memory_for(self.estimate.config)

    @property
    def refusals(self) -> Sequence[Refusal]:
        """Return those of a generator; an encoder trains anywhere."""
        return () if self.student.is_encoder else self.estimate.refusals

    @property
    def is_refused(self) -> bool:
        return bool(self.refusals)

    def refuse(self, *, but: Container[str] = ()) -> None:
        """UserFacingError of the first refusal, if there is one; those of the codes `but` pass."""
        first = next((each for each in self.refusals if each.code not in but), None)
        if first:
            raise UserFacingError(
                first.message, code=first.code, hint=first.hint, param="training_config"
            )


def plan_for(
    model: CustomModel,
    requested: Settings,
    *,
    dataset: DatasetVersion | None = None,
    machine: Machine | None = None,
) -> Plan:
    """UserFacingError names a setting that is unknown or out of bounds."""
    config, machine = checked(requested), machine or known_machine()
    if config.device == "cuda" and not machine.is_measured:  # nobody has looked for a GPU yet
        machine = replace(machine, gpu="not measured yet", gpu_flops=20e12)
    facts = Facts(data_facts(model, dataset), shape_of(model.base))
    estimate = _with_held_out(preflight(config, facts, machine), model, dataset)
    if dataset and (unseen := coverage_of(dataset).sentence):
        estimate = replace(estimate, notes=(unseen, *estimate.notes))
    reasons = explain(config, estimate, machine)
    student, is_sample = student_of(model, dataset), facts.data.is_sample
    return Plan(requested, estimate, reasons, machine, dataset, is_sample, student)


def _with_held_out(
    estimate: Estimate, model: CustomModel, dataset: DatasetVersion | None
) -> Estimate:
    """Add what the held-out rows, where they are known, cannot decide or be read for."""
    answers = [row["output"] for row in model.test_rows]
    if dataset and not answers:
        answers = [row.answer for row in dataset.rows.kept().filter(split="test")]
    if not (model.contract and answers):
        return estimate
    contract = Contract.from_json(model.contract)
    checks = [Criterion.from_json({**check}) for check in contract.checks]
    objection = unreadable(contract.metric, answers)
    notes, refusals = needs(checks, len(answers), answers), []
    if objection and model.metric:
        refusals = [Refusal("unreadable_rows", objection, CHOOSE_METRIC)]
    elif objection:  # nobody chose it: it will not be measured
        notes = [objection, *notes]
    return replace(
        estimate, refusals=(*estimate.refusals, *refusals), notes=(*estimate.notes, *notes)
    )


def checked(requested: Settings) -> TrainingConfig:
    try:
        return config_from(requested)
    except ValueError as error:
        raise UserFacingError(str(error), param="training_config") from error


def dataset_of(model: CustomModel) -> DatasetVersion | None:
    """Return the one that a new training takes: what was frozen last."""
    dataset: DatasetVersion | None = model.dataset_versions.frozen().first()
    return dataset


def dataset_or_draft(model: CustomModel) -> DatasetVersion | None:
    """Return the rows that a plan is shown for: the newest frozen dataset, else the draft."""
    return dataset_of(model) or model.dataset_versions.drafts().first()


def check_before_building(model: CustomModel) -> None:
    """Refuse a build that could not train; its dataset is still to be made, so rows are guessed."""
    plan_for(model, model.training_config).refuse()


def check_before_training(model: CustomModel) -> None:
    """Refuse a training that a person starts by freezing; the draft is what it takes."""
    draft = model.dataset_versions.drafts().first()
    plan_for(model, model.training_config, dataset=draft or dataset_of(model)).refuse()


# --- the rows and the base ------------------------------------------------------------------------


def data_facts(model: CustomModel, dataset: DatasetVersion | None) -> DataFacts:
    renderer_folder = settings.MODELS_DIR / model.base_id
    if dataset is None or not (renderer_folder / "tokenizer.json").is_file():
        return _guessed(model, dataset)
    if dataset.is_draft:  # its rows change while people look at it
        return _counted(model, dataset)
    key = f"data-facts:{dataset.id}:{model.base_id}"
    facts = cache.get_or_set(key, lambda: _counted(model, dataset), COUNTED_FOR_SECONDS)
    assert isinstance(facts, DataFacts)
    return facts


def _counted(model: CustomModel, dataset: DatasetVersion) -> DataFacts:
    """Count a sample spread over the rows, and those that look longest."""
    rows = dataset.rows.kept().filter(split="train").order_by("position")
    ids = list(rows.values_list("id", flat=True))
    spread = ids[:: max(1, -(-len(ids) // SAMPLE_ROWS))]
    if len(spread) < len(ids):
        by_size = rows.annotate(size=Length(Cast("messages", TextField()))).order_by("-size")
        spread += by_size.values_list("id", flat=True)[:LONGEST_ROWS]
    sample = list(dataset.rows.filter(id__in=spread).values_list("messages", flat=True))
    renderer = load_renderer(settings.MODELS_DIR / model.base_id)
    valid_rows = dataset.rows.kept().filter(split="valid").count()
    return count_tokens(sample, renderer, rows=len(ids), valid_rows=valid_rows)


def _guessed(model: CustomModel, dataset: DatasetVersion | None) -> DataFacts:
    counts = dataset.split_counts if dataset else {}
    rows = counts.get(
        "train", round(model.rows * (1 - SelectionConfig.valid_share - SelectionConfig.test_share))
    )
    valid_rows = counts.get("valid", round(model.rows * SelectionConfig.valid_share))
    prompt = model.system_prompt or model.requirement
    return guess_tokens(prompt, model.examples, rows=rows, valid_rows=valid_rows)


def shape_of(base: FoundationModel) -> BaseShape:
    try:
        return read_shape(settings.MODELS_DIR / base.name)
    except ValueError:
        return guessed_shape(base.parameters, base.context)


# --- the machine ----------------------------------------------------------------------------------


def known_machine() -> Machine:
    """Return it as a training worker measured it last."""
    return _of_profile(MachineProfile.objects.first())


def _of_profile(profile: MachineProfile | None) -> Machine:
    """Correct what was measured by what runs took since. Before the first worker has started it is
    a cautious guess, without memory: the worker may be another machine than this one.
    """
    free = disk_free(settings.ARTIFACTS_DIR)
    if profile is None:  # has_bf16 is not known either; the run itself looks
        cores = os.cpu_count() or 1
        flops = cores * DEFAULT_FLOPS_PER_CORE
        return Machine(cores=cores, has_bf16=True, fp32_flops=flops, disk_free=free)
    machine = Machine(**profile.facts, is_measured=True)
    if profile.host == socket.gethostname():
        total, available = memory()
        machine = replace(machine, memory_bytes=total, available_bytes=available)
    return _corrected(replace(machine, disk_free=free))


def _corrected(machine: Machine) -> Machine:
    """Correct it by the median of what the host's last runs took over what was expected."""
    ended = TrainingRun.objects.filter(
        job__state=Job.State.SUCCEEDED, plan__host=machine.host
    ).order_by("-created_at")
    runs = [
        (RunPlan.from_json(plan), TrainingFacts.from_json(facts))
        for plan, facts in ended.values_list("plan", "facts")[:RUNS_LOOKED_AT]
    ]
    # Of a run that ended early, only the steps it made count.
    shares = [facts.steps / max(1, plan.steps) for plan, facts in runs]
    times = _ratios(
        (facts.seconds, plan.training_seconds * share)
        for (plan, facts), share in zip(runs, shares, strict=True)
    )
    sizes = _ratios((facts.peak_memory_bytes, plan.training_bytes) for plan, facts in runs)
    return replace(
        machine,
        time_ratio=statistics.median(times or [1.0]),
        memory_ratio=statistics.median(sizes or [1.0]),
        runs_seen=len(times),
    )


def _ratios(pairs: Iterable[tuple[float, float]]) -> list[float]:
    """Return taken over expected, where that is a measure."""
    low, high = RATIO_BOUNDS
    ratios = [taken / expected for taken, expected in pairs if expected]
    return [ratio for ratio in ratios if low <= ratio <= high]


# --- with the run ---------------------------------------------------------------------------------


def config_of_attempt(run: TrainingRun) -> TrainingConfig:
    """Return the config before the child starts, checked again with what is free right now. The
    first attempt settles the config; a later one, which knows the machine better, must not change
    it.
    """
    if not run.plan:
        run.plan = asdict(_kept_with_run(plan_of_run(run)))
        run.save(update_fields=["plan"])
    return config_from(run.plan["config"])


def plan_of_run(run: TrainingRun) -> Plan:
    machine = _of_profile(ensure_measured())
    plan = plan_for(run.model, run.asked_config, dataset=run.dataset_version, machine=machine)
    plan.refuse()
    return plan


def config_for_child(plan: Plan) -> Settings:
    """Return the settings that were shown. Left to the child is what it sees better: its device,
    and the batch where only a sample of the rows was counted.
    """
    left = {"device", "dtype"}
    if plan.is_sample:
        left |= {"tokens_per_batch", "micro_batch_tokens"}
    chosen = {name: value for name, value in plan.resolved.items() if name not in left}
    return {**chosen, **plan.requested}


def _kept_with_run(plan: Plan) -> RunPlan:
    estimate, machine = plan.estimate, plan.machine
    stages = estimate.seconds_by_stage or {}
    parts = estimate.memory_by_part or {}  # the child measures its peak before it merges
    spent = sum(stages.get(stage, 0.0) for stage in ("train", "validate", "checkpoints"))
    return RunPlan(
        host=machine.host,
        steps=estimate.steps,
        tokens=estimate.tokens,
        minutes=estimate.minutes,
        peak_memory=estimate.memory_bytes,
        disk_bytes=estimate.disk_bytes,
        training_seconds=spent / machine.time_ratio,
        training_bytes=(sum(parts.values()) - parts.get("merging", 0)) / machine.memory_ratio,
        reasons=plan.reasons,
        notes=estimate.notes,
        config=config_for_child(plan),
    )

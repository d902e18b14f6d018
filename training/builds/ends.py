"""How a build ends: measured and published or not, or failed or cancelled on the way; and who is
notified. All of it in the transaction that ends the job.
"""

from distillation.model_data.own_rows import settle_waiting
from models_app import mails
from models_app.contract.services import reopen_contract
from models_app.gateway.model_resolver import tuned_name
from models_app.models import CustomModel, ModelVersion
from models_app.services import lock, set_status
from models_app.versions.promotions import objection_to, promote_on_pass
from models_app.webhooks import services as webhooks
from modelstation.core.models import Job
from training.evaluations import services as evaluations
from training.finetuning.builds import ended_build
from training.models import EvaluationRun
from training.scoring.shapes import EvaluationResult

Status = CustomModel.Status
JOB_KINDS = ("distil", "freeze", "train", "evaluate")
STATUS_OF_VERDICT: dict[str, Status] = {
    EvaluationRun.Verdict.FAIL: Status.NOT_PASSED,
    EvaluationRun.Verdict.INCONCLUSIVE: Status.UNDECIDED,
}
# Where a build ends for want of rows, the page of the data says what is missing and how to get it.
NEEDS_DATA_CODES = ("not_enough_data", "rows_refused")


def finish_evaluation(*, run: EvaluationRun, folder: str, result: EvaluationResult) -> None:
    """Keep the scores, let the verdict decide what becomes of the version, and notify."""
    evaluations.keep_result(run=run, folder=folder, result=result)
    _decide(run, evaluations.reason_of(result))
    run.model.refresh_from_db(fields=["status"])
    if not run.is_again:
        mails.notify_of_end(model=run.model, job=run.job)
        send_webhooks(run.model, run.job)


def _decide(run: EvaluationRun, reason: str) -> None:
    """Make the version ready and live, or say why it did not pass or is undecided. What did not
    pass, or is worse than the live version, is not published; nor is one that was only measured
    again, while another one is live: that is a person's choice. Where nothing but the training was
    requested, it is ready without being live.
    """
    version, passed = run.version, run.verdict == EvaluationRun.Verdict.PASS
    version.state = ModelVersion.State.READY if passed else ModelVersion.State.DRAFT
    version.save(update_fields=["scores", "contract_digest", "state"])
    model = lock(version.model_id)
    if run.is_again and model.live_version_id:
        reason = f"Version {version.number}, measured again: {reason}" if reason else ""
        set_status(model, Status.READY, reason)
        return
    objection = promote_on_pass(version, model)
    if not objection:
        set_status(model, Status.READY, reason)
        return
    stays = f"Version {model.live_version.number} stays live." if model.live_version else ""
    why = f"{(reason if not passed else '') or objection} {stays}".strip()
    if evaluations.is_trained_as_asked(version):
        set_status(model, Status.READY, f"{_trained_as_asked(version)} It is not live: {why}")
        return
    worse = Status.NOT_PASSED if objection_to(version, model.live_version_id) else Status.UNDECIDED
    set_status(model, STATUS_OF_VERDICT.get(run.verdict, worse), why)


def _trained_as_asked(version: ModelVersion) -> str:
    return (
        f"Version {version.number} is trained as its file asks and answers under its own name, "
        f"{tuned_name(version)}."
    )


def settle_ended_job(job: Job) -> None:
    """End the model of a job that ended without success."""
    if job.kind not in JOB_KINDS:
        return
    model = CustomModel.objects.filter(id=job.subject_id).first()
    if model is None:
        return
    # An evaluation right before which no training came: nothing was built.
    earlier = Job.objects.filter(subject_id=job.subject_id, created_at__lt=job.created_at)
    last = earlier.filter(kind__in=("train", "evaluate")).order_by("-created_at").first()
    is_again = job.kind == "evaluate" and last is not None and last.kind == "evaluate"
    status, reason = _end_of(job, model, is_again=is_again)
    set_status(model, status, reason)
    if job.kind == "distil":
        settle_waiting(model, job)
        reopen_contract(model)
    send_webhooks(model, job)
    if status in (Status.FAILED, Status.NEEDS_DATA) or (status == Status.READY and not is_again):
        mails.notify_of_end(model=model, job=job)


def send_webhooks(model: CustomModel, job: Job) -> None:
    """Queue the webhooks of the build that ends with this job, if one does."""
    if ended := ended_build(job):
        name, status = ended
        webhooks.notify_of_end(model=model, job=job, name=name, status=status)


def _end_of(job: Job, model: CustomModel, *, is_again: bool) -> tuple[CustomModel.Status, str]:
    """Return the status and its reason. What was only measured again leaves the model as it was."""
    is_cancelled = job.state == Job.State.CANCELLED
    if is_again and model.live_version_id:
        return Status.READY, job.error_text
    version = evaluations.version_as_asked(job) if is_again or not is_cancelled else None
    if version is not None:
        return Status.READY, f"{_trained_as_asked(version)} It was not measured: {job.error_text}"
    if is_again and (status := _measured_before(job)):
        return status, f"It was not measured again. {job.error_text}".strip()
    if job.kind == "distil" and job.error_code in NEEDS_DATA_CODES and not is_cancelled:
        return Status.NEEDS_DATA, job.error_text
    return (Status.CANCELLED if is_cancelled else Status.FAILED), job.error_text


def _measured_before(job: Job) -> CustomModel.Status | None:
    """Return what an earlier evaluation made of the version that this one was to measure again."""
    run = EvaluationRun.objects.filter(job=job).select_related("version").first()
    return STATUS_OF_VERDICT.get(run.version.scores.get("verdict")) if run else None

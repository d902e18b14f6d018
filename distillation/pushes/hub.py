"""Files of a dataset or a model, into one repository of the hub, in one commit. No Django inside.

The same digest is never committed twice: a marker file in the repository says what it holds.
"""

from __future__ import annotations

import json
import logging
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelstation.core.errors import UserFacingError

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import DatasetInfo, ModelInfo

    Info = DatasetInfo | ModelInfo

logger = logging.getLogger("modelstation.hub")

MARKER = "modelstation.json"
OF_EVERY_REPOSITORY = {".gitattributes"}  # the hub makes it itself
_NAME = r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
REPO_ID = re.compile(f"{_NAME}/{_NAME}")
BAD_IN_REPO_ID = re.compile(r"--|\.\.|\.git$")
QUOTA_WORDS = ("quota", "storage", "limit", "payment", "billing")


@dataclass(frozen=True)
class Pushed:
    commit: str
    is_new: bool  # False: the repository held this digest already


def check_repo_id(repo_id: str) -> None:
    """Raise UserFacingError unless it is `namespace/name`, spelt as the hub allows."""
    is_valid = REPO_ID.fullmatch(repo_id) and not BAD_IN_REPO_ID.search(repo_id)
    if not is_valid:
        raise UserFacingError(
            "This is no name of a repository on the hub.",
            code="bad_repo_id",
            param="repo_id",
            hint="Write it as namespace/name, with letters, digits, “-”, “_” and “.”, for example "
            "acme/support-tickets.",
        )


def push_files(
    api: HfApi,
    repo_id: str,
    files: Mapping[str, Path | bytes],
    *,
    digest: str,
    is_private: bool,
    message: str,
    repo_type: str = "dataset",
) -> Pushed:
    """Raise UserFacingError for all that the hub or the network may refuse."""
    with _in_plain_words(repo_id):
        api.create_repo(repo_id, repo_type=repo_type, private=is_private, exist_ok=True)
        info = api.dataset_info(repo_id) if repo_type == "dataset" else api.model_info(repo_id)
        if is_private and not info.private:
            message = f"The repository {info.id} is there already, and it is public."
            hint = (
                "Nothing was uploaded. Make it private on the hub, choose another name, or push "
                "it as public."
            )
            raise UserFacingError(message, code="hub_repo_is_public", hint=hint)
        if _digest_there(api, info, repo_type) == digest:
            return Pushed(str(info.sha), is_new=False)
        marker = json.dumps({"digest": digest, "made_by": "ModelStation"}, indent=2) + "\n"
        commit = _commit(api, info, {**files, MARKER: marker.encode()}, message, repo_type)
    return Pushed(commit, is_new=True)


def _digest_there(api: HfApi, info: Info, repo_type: str) -> str:
    """Of what the repository holds; empty for an empty one."""
    names = {sibling.rfilename for sibling in info.siblings or ()} - OF_EVERY_REPOSITORY
    if not names:
        return ""
    if MARKER not in names:
        message = f"The repository {info.id} holds something that was not pushed from here."
        hint = "Nothing was uploaded, so that it is not overwritten. Choose another name."
        raise UserFacingError(message, code="hub_repo_is_not_ours", hint=hint)
    with tempfile.TemporaryDirectory() as folder:
        path = api.hf_hub_download(
            info.id, MARKER, repo_type=repo_type, revision=info.sha, cache_dir=folder
        )
        marker = Path(path).read_text(encoding="utf-8")
    try:
        content: Any = json.loads(marker)
    except ValueError:
        return ""  # edited by hand: it gets a new commit
    return str(content.get("digest", "")) if isinstance(content, dict) else ""


def _commit(
    api: HfApi, info: Info, files: Mapping[str, Path | bytes], message: str, repo_type: str
) -> str:
    """Commit on top of the state that was looked at: a commit made meanwhile is not overwritten.

    Files go as open streams. That keeps the library on plain HTTP uploads, which proxies, mirrors
    and our tests know, rather than on its own storage protocol.
    """
    from huggingface_hub import CommitOperationAdd

    with ExitStack() as opened:
        operations = [
            CommitOperationAdd(
                name, file if isinstance(file, bytes) else opened.enter_context(file.open("rb"))
            )
            for name, file in files.items()
        ]
        done = api.create_commit(
            info.id, operations, repo_type=repo_type, commit_message=message, parent_commit=info.sha
        )
    return str(done.oid)


# --- what the hub refuses, in plain words ---------------------------------------------------------


@contextmanager
def _in_plain_words(repo_id: str) -> Iterator[None]:
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        yield
    except RuntimeError as error:  # the library wraps what an upload of a large file meets
        if not isinstance(error.__cause__, httpx2.HTTPError):
            raise
        raise explained(error.__cause__, repo_id) from None
    except ValueError as error:  # the card's metadata, an upload, or an answer that is no JSON
        logger.warning("push to %s: %s", repo_id, error)
        message = "The hub did not take these files."
        hint = "Push again later; if it goes on, ask your operator, whose log says more."
        raise UserFacingError(message, code="hub_refused", hint=hint) from None
    except (httpx2.HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        if isinstance(error, HfHubHTTPError) or not isinstance(error.__cause__, HfHubHTTPError):
            raise explained(error, repo_id) from None
        raise explained(error.__cause__, repo_id) from None


def explained(error: Exception, repo_id: str) -> UserFacingError:
    response = getattr(error, "response", None)
    if response is None:
        message = "The hub cannot be reached from this installation."
        hint = "Nothing was published. Push again later; if it goes on, ask your operator."
        return UserFacingError(message, code="hub_unreachable", hint=hint)
    hub_message = (getattr(error, "server_message", None) or "").lower()
    return _of_status(response.status_code, hub_message, repo_id)


def _of_status(status: int, hub_message: str, repo_id: str) -> UserFacingError:
    namespace = repo_id.partition("/")[0]
    if status in (402, 413, 507) or (status == 403 and any(w in hub_message for w in QUOTA_WORDS)):
        code, message = "hub_quota", f"The hub has no room left for {namespace}."
        hint = "Free some storage on the hub, or take a plan with more; then push again."
    elif status == 401:
        code, message = "hub_token_refused", "The hub does not accept this token."
        hint = "It was revoked or has expired. Store a new one on the settings page; push again."
    elif status == 403:
        code, message = "hub_forbidden", f"The token may not write to {repo_id} on the hub."
        hint = f"Give it the right to write to {namespace}, or push to a namespace of its own."
    elif status == 404:
        code, message = "hub_not_found", f"The hub knows no {namespace} that the token may see."
        hint = "Check the spelling of the namespace, and that the token has access to it."
    elif status in (409, 412):
        code, message = "hub_conflict", f"{repo_id} was changed on the hub at the same time."
        hint = "Nothing of theirs was overwritten. Push again."
    elif status == 429:
        code, message = "hub_busy", "The hub takes no more requests from this token just now."
        hint = "Wait some minutes, then push again."
    elif status >= 500:
        code, message = "hub_trouble", "The hub has trouble of its own."
        hint = "Push again later."
    else:
        code, message = "hub_refused", f"The hub refused the push to {repo_id} (status {status})."
        hint = "Check the name of the repository; if it goes on, ask your operator."
    return UserFacingError(message, code=code, hint=hint)

"""What a repository of the hub holds, and its files, verified. huggingface_hub speaks the protocol.

Its environment variables hold here (HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE, those of proxies). Messages name neither a
token nor the address of a download, which may be a signed one.
"""

import errno
import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from curation.core.errors import ModelError
from curation.core.fingerprint import file_sha256

_TIMEOUT_S = 30


@dataclass(frozen=True)
class RemoteFile:
    """A file as the hub lists it: large ones with their sha256, small ones with the id that git gives to a blob."""

    num_bytes: int
    sha256: str
    git_blob: str


@dataclass(frozen=True)
class Repository:
    """A model's repository at one commit. `licence` is "" where its page names none."""

    model: str
    revision: str
    licence: str
    files: Mapping[str, RemoteFile]


def ask(model: str, revision: str = "") -> Repository:
    """What the hub holds for a model at a commit, or, for "", at the present end of its default branch.

    Raises ModelError when the hub cannot be reached, or will not say.
    """
    from huggingface_hub import HfApi

    with _explaining(model, revision):
        about = HfApi().model_info(model, revision=revision or None, files_metadata=True, timeout=_TIMEOUT_S)
    if not about.sha or (revision and about.sha != revision):
        raise ModelError(f"Model {model!r}: asked for revision {revision or '(newest)'}, the hub gave {about.sha}.")
    page = about.card_data or {}
    licence = page.get("license_name") or page.get("license") or ""
    return Repository(
        model, about.sha, str(licence), {each.rfilename: _remote_file(each) for each in about.siblings or ()}
    )


def download(repository: Repository, name: str, folder: Path) -> None:
    """Write a file of a repository into a folder. Raises ModelError unless it has the hash that the hub lists."""
    from huggingface_hub import hf_hub_download

    with _explaining(repository.model, repository.revision):
        hf_hub_download(repository.model, name, revision=repository.revision, local_dir=folder)
        shutil.rmtree(folder / ".cache", ignore_errors=True)  # notes that huggingface_hub leaves for itself
    if not _is_as_listed(folder / name, repository.files[name]):
        raise ModelError(
            f"Model {repository.model!r}: {name} arrived with another hash than the hub lists. Nothing of it was kept. "
            "Run this again; if it happens again, something between here and the hub changes files."
        )


def _remote_file(listed: Any) -> RemoteFile:
    sha256 = listed.lfs.sha256 if listed.lfs else ""
    return RemoteFile(num_bytes=listed.size or 0, sha256=sha256, git_blob="" if sha256 else listed.blob_id or "")


def _is_as_listed(path: Path, listed: RemoteFile) -> bool:
    if listed.sha256:
        return file_sha256(path) == listed.sha256
    content = path.read_bytes()
    blob = b"blob %d\0%b" % (len(content), content)
    return hashlib.sha1(blob, usedforsecurity=False).hexdigest() == listed.git_blob


@contextmanager
def _explaining(model: str, revision: str) -> Iterator[None]:
    """Turn what huggingface_hub and the disk raise into a ModelError that says what to do."""
    from huggingface_hub import errors

    try:
        yield
    except (errors.HTTPError, errors.HFValidationError, OSError, RuntimeError) as error:
        # A failed look-up of a file hides its reason behind "not in the cache".
        reason = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) else error
        raise ModelError(_explanation(reason or error, model, revision)) from error


def _explanation(error: BaseException, model: str, revision: str) -> str:
    from huggingface_hub import constants, errors

    endpoint = _without_credentials(constants.ENDPOINT)
    if isinstance(error, errors.HfHubHTTPError):
        return f"Model {model!r}: {_refusal(error, f'{endpoint}/{model}', revision)}"
    if isinstance(error, errors.HFValidationError):
        return f"Model {model!r}: is neither a path that exists nor a name that a model on the hub can have."
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, so the hub is not asked. Unset it here, or copy the folder of bundles to here."
    if isinstance(error, errors.FileMetadataError):
        return (
            f"What answers at {endpoint} is no hub, or something on the way changes it. Check HF_ENDPOINT and proxies."
        )
    if isinstance(error, errors.HTTPError | errors.LocalEntryNotFoundError | ConnectionError | RuntimeError):
        return (
            f"The hub at {endpoint} cannot be reached ({type(error).__name__}). Run this where there is a network and "
            "copy the folder of bundles to here."
        )
    number = getattr(error, "errno", None)
    if number in {errno.ENOSPC, errno.EDQUOT}:
        return f"Model {model!r}: the disk is full, nothing of it was kept. Free some space or choose another --into."
    if number is not None:
        return f"Model {model!r}: cannot be written: {error}. Check the folder of bundles, or choose another --into."
    return f"Model {model!r}: a file arrived incomplete, nothing of it was kept. Run this again."


def _refusal(error: Any, page: str, revision: str) -> str:
    """Why the hub answered, and not with the model."""
    from huggingface_hub import errors

    status = error.response.status_code
    if isinstance(error, errors.GatedRepoError):
        return (
            f"its owner lets nobody download it who has not accepted the terms. Accept them at {page}, put a token of "
            "that account into the environment variable HF_TOKEN, and run this again."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"has no revision {revision}. Take a commit hash from {page}/commits, or leave `revision` out."
    if isinstance(error, errors.RepositoryNotFoundError) or status in {401, 403, 404}:
        return (
            f"the hub does not show it to us (status {status}), and there is no such path here. Check the spelling at "
            f"{page}; if it is private, put a token that may read it into the environment variable HF_TOKEN."
        )
    return f"the hub answers with status {status}. Try again later."


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

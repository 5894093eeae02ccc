"""Bundles: a model's files in one folder, with a ``bundle.json`` that says whose they are and what they hold.

``bundle.json`` says format 1, model (the hub id), revision (a commit hash), licence (as the hub names it), files
(name → sha256, of every file but itself), and of a wrapped model base, the model whose sizes it has, as ID@COMMIT.
Files whose names begin with a dot do not belong to a bundle.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from curation.core.errors import ModelError
from curation.inference.files import read_json, sha256

FORMAT = 1
FILE_NAME = "bundle.json"


@dataclass(frozen=True)
class Bundle:
    """What a bundle.json says."""

    model: str
    revision: str
    licence: str
    files: Mapping[str, str]
    base: str = ""


def is_bundle(folder: Path) -> bool:
    """Whether a folder says that it is a bundle."""
    return (folder / FILE_NAME).is_file()


def folder_name(model: str, revision: str) -> str:
    """Where the bundle of a hub id lies among others."""
    return f"{model.replace('/', '--')}@{revision}"


def read_bundle(folder: Path) -> Bundle:
    """What the bundle.json of a folder says. Raises ModelError when it makes no sense."""
    path = folder / FILE_NAME
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ModelError(f"{path}: is not a bundle of format {FORMAT}; a newer version of this package may read it.")
    try:
        files = {str(name): str(digest) for name, digest in content["files"].items()}
        return Bundle(
            str(content["model"]),
            str(content["revision"]),
            str(content["licence"]),
            files,
            str(content.get("base", "")),
        )
    except (KeyError, AttributeError) as error:
        raise ModelError(
            f"{path}: needs model, revision, licence and files: {error!r}. Fetch the model again."
        ) from None


def write_bundle(folder: Path, model: str, revision: str, licence: str, base: str = "") -> None:
    """Make a bundle of the files that lie in a folder."""
    files = {path.name: sha256(path) for path in _files(folder)}
    about = {"format": FORMAT, "model": model, "revision": revision, "licence": licence, "files": files}
    about |= {"base": base} if base else {}
    (folder / FILE_NAME).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def differences(folder: Path) -> list[str]:
    """How the files of a bundle differ from what its bundle.json says, a line for each. Reads every file."""
    files = read_bundle(folder).files
    present = {path.name: path for path in _files(folder)}
    return [
        *(f"{name} is missing" for name in sorted(files.keys() - present.keys())),
        *(f"{name} was added" for name in sorted(present.keys() - files.keys())),
        *(
            f"{name} has sha256 {found[:12]}…, not {files[name][:12]}…"
            for name in sorted(files.keys() & present.keys())
            if (found := sha256(present[name])) != files[name]
        ),
    ]


def _files(folder: Path) -> list[Path]:
    found = (path for path in sorted(folder.iterdir()) if not path.name.startswith("."))
    return [path for path in found if path.name != FILE_NAME]

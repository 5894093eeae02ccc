"""Where a model's files are: in a folder, in this package, in an installed package, or in a bundle fetched ahead."""

import re
from importlib import metadata
from pathlib import Path

from curation.core.errors import ModelError
from curation.data.storage import local_path
from curation.inference.files import read_json

_PACKAGE = "package:"
_EMBEDDED = "embedded:"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def resolve(model: str, revision: str = "", bundles: str = "models") -> Path:
    """The local directory or file of a model. Never asks a hub.

    `model` is a path, ``embedded:NAME``, ``package:DISTRIBUTION`` (the folder in it that holds config.json and
    model.safetensors; nothing of it is imported), or a hub id ``org/name``, which is looked up among the folders of
    `bundles`: ``org--name`` or ``org--name@revision``. Raises ModelError when it is not there.
    """
    if model.startswith(_PACKAGE):
        return _in_distribution(model.removeprefix(_PACKAGE))
    if model.startswith(_EMBEDDED):
        return _existing(local_path(model), model)
    if (path := Path(model).expanduser()).exists():
        return path
    if _HUB_ID.fullmatch(model):
        return _bundle(model, revision, local_path(bundles))
    return _existing(path, model)


def _existing(path: Path, model: str) -> Path:
    if not path.exists():
        raise ModelError(f"Model {model!r}: there is no {path}.")
    return path


def _in_distribution(name: str) -> Path:
    try:
        files = metadata.distribution(name).files or []
    except metadata.PackageNotFoundError:
        raise ModelError(f"Model 'package:{name}': {name} is not installed; run `pip install {name}`.") from None
    folders = {Path(str(file.locate())).parent for file in files if file.name == "model.safetensors"}
    found = [folder for folder in sorted(folders) if (folder / "config.json").is_file()]
    if len(found) != 1:
        raise ModelError(
            f"Model 'package:{name}': {len(found)} folders of it hold config.json and model.safetensors; one is right."
        )
    return found[0]


def _bundle(model: str, revision: str, bundles: Path) -> Path:
    """The bundle of a hub id: of this revision, or, where none is asked for, the only one there is."""
    stem = model.replace("/", "--")
    present = [
        path for path in (bundles / stem, *sorted(bundles.glob(f"{stem}@*"))) if (path / "bundle.json").is_file()
    ]
    found = [path for path in present if not revision or _revision(path) == revision]
    if len(found) == 1:
        return found[0]
    at = f" at revision {revision}" if revision else ""
    if found:
        raise ModelError(
            f"Model {model!r}: several revisions of it lie in {bundles}: {[path.name for path in found]}. "
            "Name one as `revision`."
        )
    raise ModelError(
        f"Model {model!r}{at}: neither a path that exists nor in the bundles folder (looked for {bundles / stem} and "
        f"{stem}@{revision or '…'} with a bundle.json). Fetch it ahead with `python pipelines/fetch_models.py CONFIG`."
    )


def _revision(bundle: Path) -> str:
    return str(read_json(bundle / "bundle.json").get("revision", ""))

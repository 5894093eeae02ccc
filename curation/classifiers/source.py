"""Where a model's files are: in a folder, in this package, in an installed package, or in a bundle fetched ahead."""

import re
from importlib import metadata
from pathlib import Path

from curation.classifiers.bundle import differences, folder_name, is_bundle, read_bundle
from curation.core.errors import ModelError
from curation.data.storage import local_path

_PACKAGE = "package:"
_EMBEDDED = "embedded:"
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


def resolve(model: str, revision: str = "", bundles: str = "models") -> Path:
    """The local directory or file of a model. Never asks a hub.

    `model` is a path, ``embedded:NAME``, ``package:DISTRIBUTION`` (the folder in it that holds config.json and
    model.safetensors; nothing of it is imported), or a hub id ``org/name``, which is looked up among the folders of
    `bundles`: ``org--name`` or ``org--name@revision``. Raises ModelError when it is not there, or when the files of a
    bundle are not those that were fetched.
    """
    if model.startswith(_PACKAGE):
        return _in_distribution(model.removeprefix(_PACKAGE))
    if model.startswith(_EMBEDDED):
        return _existing(local_path(model), model)
    if is_hub_id(model):
        return _bundle(model, revision, local_path(bundles))
    return _existing(Path(model).expanduser(), model)


def is_hub_id(model: str) -> bool:
    """Whether a model is looked up among the bundles: ``org/name``, and no path that exists."""
    return bool(_HUB_ID.fullmatch(model)) and not Path(model).expanduser().exists()


def bundles_of(model: str, revision: str, bundles: Path) -> list[Path]:
    """The bundles of a hub id: of one revision, or of all where `revision` is ""."""
    folders = (bundles / model.replace("/", "--"), *sorted(bundles.glob(folder_name(model, "*"))))
    present = (folder for folder in folders if is_bundle(folder))
    return [folder for folder in present if not revision or read_bundle(folder).revision == revision]


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
    """The sound bundle of a hub id: of this revision, or, where none is asked for, the only one there is."""
    found = bundles_of(model, revision, bundles)
    if not found:
        there = [folder.name for folder in bundles_of(model, "", bundles)]
        raise ModelError(
            f"Model {model!r}{f' at revision {revision}' if revision else ''}: neither a path that exists nor in the "
            f"bundles folder (looked for {bundles / folder_name(model, revision or '…')} with a bundle.json"
            f"{f'; there is {there}' if there else ''}). Fetch it ahead with `python pipelines/fetch_models.py CONFIG`."
        )
    if len(found) > 1:
        raise ModelError(
            f"Model {model!r}: several revisions of it lie in {bundles}: {[folder.name for folder in found]}. "
            "Name one as `revision`."
        )
    if wrong := differences(found[0]):
        raise ModelError(
            f"Model {model!r}: {found[0]} does not hold what was fetched: {'; '.join(wrong)}. Delete that folder, then "
            "fetch it again with `python pipelines/fetch_models.py CONFIG`."
        )
    return found[0]

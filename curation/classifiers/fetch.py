"""Models from the hub into bundles, ahead of every run. Nothing else in this project asks a hub.

A bundle appears under its name when it is complete: every file has the hash that the hub lists, and the scorer of this
project reproduces what the plain library gives on the texts of its canary. A copy of a bundle appears the same way.
"""

import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from curation.classifiers import canary, card, catalog, hub, published, source
from curation.classifiers.bundle import FILE_NAME, differences, folder_name, is_bundle, read_bundle, write_bundle
from curation.classifiers.encoder import Encoder
from curation.classifiers.fasttext import FastText
from curation.classifiers.measure import measure_canary
from curation.core.classifier import Classifier
from curation.core.errors import ConfigError, ModelError
from curation.data import storage
from curation.inference.files import read_json
from curation.inference.weights import BASE_CONFIG, base_model

Source = TypeVar("Source")

_COMMIT = re.compile(r"[0-9a-f]{40}")
_PAPERS = ("README.md", "LICENSE*", "NOTICE*")
_WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors")
_FILES = {
    Encoder: (
        "config.json", *_WEIGHTS, "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json",
        "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt",
        "sentencepiece.bpe.model", "spm.model", "spiece.model", "tokenizer.model",
    ),
    FastText: ("*.bin", "*.ftz"),
}  # fmt: skip


@dataclass(frozen=True)
class Naming:
    """A table of a config that names a model of the hub, and which revision of it, in which bundles, as yet."""

    table: str
    revision: str
    bundles: str


@dataclass(frozen=True)
class Wanted:
    """A bundle that a config needs: as the model of classifiers (`users`), or as a trunk of a head or of a training.

    `revision` is a commit hash, or "" for whatever is there, or else for the newest.
    """

    model: str
    revision: str
    bundles: str
    kind: type[Classifier]
    users: tuple[Encoder | FastText, ...]
    namings: tuple[Naming, ...]

    def folders(self) -> list[Path]:
        """The bundles that are there and would do."""
        return source.bundles_of(self.model, self.revision, storage.local_path(self.bundles))


def wanted(classifiers: Sequence[Classifier], into: str = "") -> list[Wanted]:
    """What classifiers take from the hub: into their own `bundles`, or all into one folder.

    Raises ConfigError when a revision is not a commit hash: any other name may mean another model tomorrow.
    """
    users: dict[tuple[str, str, str, type[Classifier]], list[Encoder | FastText]] = {}
    mistakes = []
    for each in classifiers:
        if not isinstance(each, Encoder | FastText):
            continue
        own = source.is_hub_id(each.model)
        model, revision = (each.model, each.revision) if own else _trunk(each)
        if mistake := _revision_mistake(model, revision):
            mistakes.append(f"classifier.{each.name}: {mistake}")
        if model:
            users.setdefault((model, revision, into or each.bundles, type(each)), []).extend([each] if own else [])
    if mistakes:
        raise ConfigError(*mistakes)
    return [
        Wanted(
            *key, tuple(each), tuple(Naming(f"classifier {user.name}", user.revision, user.bundles) for user in each)
        )
        for key, each in users.items()
    ]


def wanted_trunk(trunk: str, revision: str, bundles: str, into: str = "") -> list[Wanted]:
    """What a training's `[recipe]` takes from the hub: its trunk, or nothing. Raises ConfigError as `wanted` does."""
    if not source.is_hub_id(trunk):
        return []
    if mistake := _revision_mistake(trunk, revision):
        raise ConfigError(f"recipe: {mistake}")
    return [Wanted(trunk, revision, into or bundles, Encoder, (), (Naming("[recipe]", revision, bundles),))]


def fetch(needs: Sequence[Wanted], say: Callable[[str], None]) -> dict[Wanted, Path]:
    """The bundles that are wanted, after fetching those that are not there; `say` gets a line for each.

    The hub is asked about all of them before anything is downloaded. Raises ConfigError with all mistakes that show
    then, ModelError when one cannot be fetched after all; what was complete by then stays.
    """
    return _each(needs, _offer, _deliver, say, "fetched")


def copy(needs: Sequence[Wanted], folder: str, say: Callable[[str], None]) -> dict[Wanted, Path]:
    """The bundles that are wanted, after copying those that are not there from a folder of bundles; asks no hub.

    Any number of processes may copy to one place at once: each fills a folder of its own, and the first to be done
    gives it the name. Raises ConfigError with all mistakes that show before anything is copied, ModelError when a copy
    is not what was fetched.
    """
    return _each(needs, lambda need: _original(need, folder), _copy, say, "copied")


def damages(need: Wanted) -> list[str]:
    """What is wrong with the bundles that are there, a line for each file; reads all of them and asks nobody."""
    return [f"{folder}: {difference}" for folder in need.folders() for difference in differences(folder)]


def pins(fetched: Mapping[Wanted, Path]) -> Iterator[str]:
    """The lines of a config that name exactly what was fetched, for the tables that do not yet."""
    for need, folder in fetched.items():
        revision = read_bundle(folder).revision
        for naming in need.namings:
            changed = {"revision": (naming.revision, revision), "bundles": (naming.bundles, need.bundles)}
            lines = [f"{key} = {json.dumps(new)}" for key, (old, new) in changed.items() if old != new]
            yield from [f"# {naming.table}", *lines] if lines else []


def _revision_mistake(model: str, revision: str) -> str:
    """What is wrong with a revision; "" is whatever is there."""
    if not revision or _COMMIT.fullmatch(revision):
        return ""
    return (
        f"revision {revision!r} of {model} is not a commit hash (40 hexadecimal digits). Leave it out: fetching then "
        "finds the newest and prints its hash, to be written there."
    )


def _trunk(classifier: Encoder | FastText) -> tuple[str, str]:
    """The trunk, and its revision, that a head directory of ours takes from the hub; "" if it takes none."""
    folder = source.resolve(classifier.model, classifier.revision, classifier.bundles)
    if not (path := folder / card.FILE_NAME).is_file():
        return "", ""
    content = read_json(path)
    named = str(content.get("trunk", ""))
    if (folder / named).is_dir() or not source.is_hub_id(named):
        return "", ""
    return named, str(content.get("trunk_revision", ""))


def _each(
    needs: Sequence[Wanted],
    find: Callable[[Wanted], Source],
    get: Callable[[Wanted, Source, Callable[[str], None]], Path],
    say: Callable[[str], None],
    verb: str,
) -> dict[Wanted, Path]:
    """The bundles that are wanted: all sources are found before the first bundle that is not there is got from one."""
    there: dict[Wanted, Path] = {}
    sources: dict[Wanted, Source] = {}
    mistakes = []
    for need in needs:
        try:
            if need.folders():
                there[need] = source.resolve(need.model, need.revision, need.bundles)
            else:
                sources[need] = find(need)
        except ModelError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ConfigError(*dict.fromkeys(mistakes))
    for need, folder in there.items():
        say(f"{need.model}: is complete in {folder}, nothing was {verb}")
    return there | {need: get(need, found, say) for need, found in sources.items()}


def _original(need: Wanted, folder: str) -> Path:
    """The bundle to copy, where there is room for it."""
    original = source.resolve(need.model, need.revision, folder)
    _check_space(need, sum(path.stat().st_size for path in original.iterdir()))
    return original


def _offer(need: Wanted) -> hub.Repository:
    """What the hub has of what is wanted: the files that are needed and no others."""
    repository = hub.ask(need.model, need.revision)
    patterns = (*_FILES[need.kind], *_PAPERS)
    top = {name: each for name, each in repository.files.items() if "/" not in name and not name.startswith(".")}
    files = {name: each for name, each in top.items() if any(fnmatchcase(name, pattern) for pattern in patterns)}
    _check_kind(need, set(files), set(repository.files))
    offer = replace(repository, files=files)
    _check_space(need, sum(file.num_bytes for file in files.values()))
    return offer


def _check_space(need: Wanted, num_bytes: int) -> None:
    """Raise ModelError unless so much fits where the bundle goes."""
    free = storage.free_bytes(need.bundles)
    if free is not None and free < num_bytes:
        raise ModelError(
            f"Model {need.model!r}: needs {num_bytes:,} bytes, and {need.bundles} has {free:,} free. Free some space "
            "or choose another --into."
        )


def _check_kind(need: Wanted, chosen: set[str], listed: set[str]) -> None:
    """Raise ModelError unless the files make a model of the kind."""
    if need.kind is FastText:
        if len(models := [name for name in sorted(chosen) if name.endswith((".bin", ".ftz"))]) != 1:
            raise ModelError(f"Model {need.model!r}: holds {len(models)} fastText models: {models}; one is right.")
        return
    if not any(fnmatchcase(name, pattern) for name in chosen for pattern in _WEIGHTS):
        loader = "AutoModelForSequenceClassification" if need.users else "AutoModel"
        others = sorted(name for name in listed if name.endswith((".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack")))
        raise ModelError(
            f"Model {need.model!r}: has no safetensors weights{f', only {others}' if others else ''}. Pickled weights "
            "can run code when they are read, so they are not fetched. Convert them once, where you trust them: "
            f"{loader}.from_pretrained({need.model!r}).save_pretrained(FOLDER), the same with AutoTokenizer, then name "
            f"that folder as `{'model' if need.users else 'trunk'}`."
        )
    if "config.json" not in chosen:
        raise ModelError(f"Model {need.model!r}: has no config.json; it is not a transformers model.")


def _deliver(need: Wanted, offer: hub.Repository, say: Callable[[str], None]) -> Path:
    """Download, verify, measure the canary, and only then give the bundle its name."""
    target = storage.local_path(need.bundles) / folder_name(need.model, offer.revision)
    _say_leftovers(target, say)
    num_bytes = sum(file.num_bytes for file in offer.files.values())
    say(f"{need.model}: fetching {len(offer.files)} files, {num_bytes:,} bytes, at {offer.revision}")
    with _appearing(target) as scratch:
        for name in sorted(offer.files):
            hub.download(offer, name, scratch)
        base = _add_base_config(need, scratch, say)
        measure_canary(need.users, scratch)
        _say_label_differences(need, scratch, say)
        write_bundle(scratch, need.model, offer.revision, offer.licence, base)
        has_canary = (scratch / canary.FILE_NAME).is_file()
    say(f"{need.model}: fetched into {target}, licence: {offer.licence or 'not named'}")
    if not has_canary:
        say(f"{need.model}: has no canary: {'its classifiers read it differently' if need.users else 'it is a trunk'}")
    return target


def _say_label_differences(need: Wanted, folder: Path, say: Callable[[str], None]) -> None:
    """Say where a model has other labels than the catalog: its facts may be of another revision."""
    for user in need.users:
        if entry := catalog.entry_of(user):
            for difference in published.label_differences(entry, replace(user, model=str(folder), revision="")):
                say(f"{need.model}: {difference}")


def _add_base_config(need: Wanted, folder: Path, say: Callable[[str], None]) -> str:
    """Put the config of its base model beside a wrapped checkpoint, which says no sizes itself; which one it is of."""
    if need.kind is not Encoder or not (base := base_model(folder)):
        return ""
    repository = hub.ask(base)
    if (name := "config.json") not in repository.files:
        raise ModelError(f"Model {need.model!r}: its base model {base!r} has no {name}, so its sizes are not known.")
    elsewhere = folder / ".base"
    hub.download(repository, name, elsewhere)
    (elsewhere / name).rename(folder / BASE_CONFIG)
    elsewhere.rmdir()
    say(f"{need.model}: the sizes of its trunk are those of {base} at {repository.revision}")
    return f"{base}@{repository.revision}"


def _copy(need: Wanted, original: Path, say: Callable[[str], None]) -> Path:
    """Copy a bundle, read the copy again, and only then give it its name."""
    target = storage.local_path(need.bundles) / original.name
    _say_leftovers(target, say)
    with _appearing(target) as scratch:
        for name in (*read_bundle(original).files, FILE_NAME):
            shutil.copyfile(original / name, scratch / name)
        if wrong := differences(scratch):
            raise ModelError(
                f"Model {need.model!r}: the copy of {original} to {target.parent} is not what was fetched: "
                f"{'; '.join(wrong)}. Nothing of it was kept. Run this again; if it happens again, check that disk."
            )
    say(f"{need.model}: copied into {target}")
    return target


def _say_leftovers(target: Path, say: Callable[[str], None]) -> None:
    for leftover in target.parent.glob(f".{target.name}.*{storage.SCRATCH}"):
        say(f"{leftover}: is left over from a command that was killed, if none runs now; delete it")


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name when the block ends, and vanishes when it raises.

    It also vanishes when another process has given its own that name meanwhile: both hold the same.
    """
    scratch = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}{storage.SCRATCH}")
    try:
        scratch.mkdir(parents=True)
        yield scratch
        for path in (*scratch.iterdir(), scratch):
            _sync(path)
        try:
            scratch.rename(target)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST} or not is_bundle(target):
                raise
        _sync(target.parent)
    except OSError as error:
        raise ModelError(
            f"{target}: cannot be written: {error.strerror or error}. Check that folder, or choose another --into."
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

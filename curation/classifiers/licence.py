"""Under which licence a model is, as far as its files or the catalog say it."""

from pathlib import Path

from curation.classifiers import bundle, card, catalog, source
from curation.core.classifier import Classifier
from curation.core.errors import ModelError
from curation.data.storage import local_path
from curation.inference.files import read_json


def licence_of(classifier: Classifier) -> str:
    """What the card or the bundle of a classifier's model says, else its catalog entry; "" where nothing does."""
    model = str(getattr(classifier, "model", ""))
    try:
        if source.is_hub_id(model):
            revision, bundles = (str(getattr(classifier, key, "")) for key in ("revision", "bundles"))
            folders = source.bundles_of(model, revision, local_path(bundles))
        else:
            folders = [source.resolve(model)]
        if said := next(filter(None, map(_said, folders)), ""):
            return said
    except ModelError:  # a report does not fail for a model that has gone since
        pass
    entry = catalog.entry_of(classifier)
    return entry.licence if entry else ""


def _said(folder: Path) -> str:
    if bundle.is_bundle(folder):
        return bundle.read_bundle(folder).licence
    content = read_json(folder / card.FILE_NAME) if (folder / card.FILE_NAME).is_file() else {}
    return str(content.get("licence", "")) if isinstance(content, dict) else ""

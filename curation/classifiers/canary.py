"""The texts with known scores that lie beside a model, in canary.json."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curation.core.classifier import Canary
from curation.core.errors import ModelError
from curation.inference.files import read_json

FORMAT = 1
FILE_NAME = "canary.json"


def read_canary(directory: Path, reading: Mapping[str, Any]) -> Canary | None:
    """The canary of a model directory; None when it has none, or one that was measured with another reading.

    Raises ModelError when it makes no sense.
    """
    path = directory / FILE_NAME
    if not path.is_file():
        return None
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ModelError(f"{path}: is not a canary of format {FORMAT}; a newer version of this package may read it.")
    try:
        texts, scores = tuple(content["texts"]), tuple(map(float, content["scores"]))
        tolerance = float(content["tolerance"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: needs texts, scores and a tolerance: {error!r}.") from None
    if not texts or len(texts) != len(scores) or not all(map(math.isfinite, scores)) or not tolerance >= 0:
        raise ModelError(f"{path}: needs as many finite scores as texts and a tolerance of 0 or more.")
    return Canary(texts, scores, tolerance) if content.get("reading") == reading else None


def write_canary(directory: Path, canary: Canary, reading: Mapping[str, Any]) -> None:
    """Write a canary, measured by a classifier with this `Classifier.reading`, into a model directory."""
    content = {
        "format": FORMAT,
        "reading": reading,
        "texts": canary.texts,
        "scores": canary.scores,
        "tolerance": canary.tolerance,
    }
    (directory / FILE_NAME).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

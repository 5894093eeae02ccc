"""What a scale of labels brings with it: the metrics that make sense on it, and the cuts that people ask for."""

import math
from collections.abc import Mapping

from curation.data.labelled import ADDITIVE, Scale
from curation.evaluation.metrics import REGRESSION, Metric

HEADLINE = "spearman"

_CUTS = (2.0, 3.0, 4.0)
_NOTES = (
    "`macro_f1` is over the rounded classes that occur. `macro_f1_at_3` is the mean of the positive and the negative "
    "class's F1 of the question whether the class is 3 or higher, `positive_f1_at_3` the positive class's alone."
)
_ON_ANY_SCALE = ("spearman", "mae")


def metrics(scale: Scale) -> Mapping[str, Metric]:
    """What is reported of a score on a scale: all there is from 0 to 5, elsewhere what needs no classes."""
    return REGRESSION if scale == ADDITIVE else {name: REGRESSION[name] for name in _ON_ANY_SCALE}


def notes(scale: Scale) -> str:
    """What the names of these metrics do not say."""
    return _NOTES if scale == ADDITIVE else "`mae` is the mean distance to the label, in its unit."


def cuts(scale: Scale) -> tuple[float, ...]:
    """From which label on a document counts as good, asked in several ways; none on a scale that is not known."""
    return _CUTS if scale == ADDITIVE else ()


def plain(scale: Scale) -> list[float]:
    """The scale as a card prints it."""
    return [int(each) if float(each).is_integer() else each for each in scale]


def mistakes(scale: Scale) -> list[str]:
    """What is wrong with a scale."""
    is_one = -math.inf < scale[0] < scale[1] < math.inf
    return [] if is_one else [f"recipe.scale: {list(scale)} is not [lowest, highest]."]

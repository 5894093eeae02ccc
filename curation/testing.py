"""Public checks: what every classifier and every stage must keep, for those outside this package too.

A check raises AssertionError with a sentence. Use them in a test of your own::

    def test_my_kind_keeps_its_promises(tmp_path):
        check_classifier(MyKind, tmp_path)
"""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from curation.core import frames
from curation.core.classifier import Classifier
from curation.core.errors import ColumnError
from curation.core.stage import Stage
from curation.inference.replica import ScoringSpec, load_replica
from curation.stages.score import Score

if TYPE_CHECKING:
    from curation.core.frames import Frame

TOLERANCE = 1e-5
"""How far scores of one text may lie apart when it is scored among others, in other batches, in another order."""

TEXTS = (
    "The mill stands by the river.",
    "a",
    "Numbers: 1, 2 and 3; letters: a, b and c!",
    "two\nlines\r\nand\u2028strange\x85breaks\x0b",
    "水车在河边转动。灯光照着学校。",
    "river " * 300,
    "\U0001f9ee\u200d cafe\u0301 \u00a0 \x00 <mask> [SEP] </s> __label__hq",
    "The mill stands by the river.",
    "CLICK HERE!!! to win",
    "the water and the light",
)
"""Texts that every classifier can score, among them two equal ones."""

_MAX_PICKLED_BYTES = 16_384

BLANK = (None, "", " \n\t ")
"""What no classifier scores."""


def check_classifier(kind: type[Classifier], directory: Path) -> None:
    """Check a kind of classifier by its tiny twin, which is written into subfolders of `directory`."""
    classifier = kind.tiny(directory / "one")
    twin = kind.tiny(directory / "two")
    _check_value(classifier)
    _check_recipe(classifier)
    _check_fingerprint(classifier, twin)
    _check_scorer(classifier)
    _check_canary(classifier)
    rows: list[str | None] = [*TEXTS, *BLANK]
    check_stage(Score((classifier,)), pd.DataFrame({"id": range(len(rows)), "text": pd.array(rows, dtype="str")}))
    _check_missing(classifier)


def check_stage(stage: Stage, frame: "Frame") -> None:
    """Check a stage on a frame, pandas or cuDF, of at least two rows that holds what it reads.

    Floats agree within TOLERANCE.
    """
    before = frame.copy(deep=True)
    result = stage(frame)
    _expect(frames.library(result) is frames.library(frame), stage, "gives a frame of another library")
    _expect(list(result.columns) == [*frame.columns, *stage.adds], stage, "does not append what it promised")
    dtypes = {name: frames.dtype_name(result, name) for name in stage.adds}
    _expect(dtypes == dict(stage.adds), stage, f"promised {dict(stage.adds)} and added {dtypes}")
    _expect_equal(frame, before, stage, "changed the frame that it was given")
    _expect_equal(result[list(frame.columns)], before, stage, "changed rows, their order or their index")
    alone = pd.concat([frames.on_host(stage(frame.iloc[[place]])) for place in range(len(frame))])
    _expect_equal(alone, result, stage, "gives a row something else when it is alone")
    turned = stage(frame.iloc[::-1]).iloc[::-1]
    _expect_equal(turned, result, stage, "depends on the order of the rows")
    _expect_equal(stage(frame.iloc[:0]), result.iloc[:0], stage, "changes its columns when there are no rows")
    _expect_equal(stage.meta(frame), result.iloc[:0], stage, "announces something else (meta) than it computes")
    _check_value(stage)
    _expect_refusal(stage, frame.drop(columns=list(stage.reads[:1])), "a column that it reads is missing")
    _expect_refusal(stage, result, "the columns that it adds are there already")


def _check_value(one: Any) -> None:
    """A recipe or a stage is a value: frozen, hashable, picklable, small, equal to its copy."""
    pickled = pickle.dumps(one)
    copy = pickle.loads(pickled)  # noqa: S301 - pickled above
    _expect(copy == one and hash(copy) == hash(one), one, "is not equal to its pickled copy")
    _expect(len(pickled) <= _MAX_PICKLED_BYTES, one, f"travels as {len(pickled)} bytes; a recipe names what is large")
    _expect(is_dataclass(one), one, "is not a dataclass")
    for field in fields(one)[:1]:
        try:
            setattr(one, field.name, getattr(one, field.name))
        except FrozenInstanceError:
            continue
        raise AssertionError(f"{type(one).__name__} can be changed; make it @dataclass(frozen=True).")


def _check_recipe(classifier: Classifier) -> None:
    schema = dict(classifier.columns)
    _expect(set(schema.values()) <= {"float32", "str"}, classifier, f"has columns that are no float32 or str: {schema}")
    _expect("float32" in schema.values(), classifier, "has no float32 column, so no score")
    _expect(classifier.name in schema, classifier, f"has no column of its name: {list(schema)}")
    other = replace(classifier, name="another")  # type: ignore[type-var]
    _expect(not set(schema) & set(other.columns), classifier, "has columns that do not follow its name")


def _check_fingerprint(classifier: Classifier, twin: Classifier) -> None:
    digest = classifier.fingerprint()
    _expect(len(digest) == 64 and set(digest) <= set("0123456789abcdef"), classifier, f"has the fingerprint {digest!r}")
    _expect(twin.fingerprint() == digest, classifier, "has another fingerprint in another folder")
    other = replace(classifier, name="another")  # type: ignore[type-var]
    _expect(other.fingerprint() == digest, classifier, "has another fingerprint under another name")


def _check_scorer(classifier: Classifier) -> None:
    scorer = classifier.load("cpu")
    columns = scorer(TEXTS)
    _expect(set(columns) == set(classifier.columns), classifier, f"promised other columns than {list(columns)}")
    for name, dtype in classifier.columns.items():
        values = columns[name]
        wanted = np.dtype(object if dtype == "str" else dtype)
        _expect(len(values) == len(TEXTS), classifier, f"gives {len(values)} values of {name} for {len(TEXTS)} texts")
        _expect(values.dtype == wanted, classifier, f"gives {name} as {values.dtype}, not {wanted}")
    score = columns[classifier.score_column]
    _expect(bool(np.isfinite(score).all()), classifier, f"gives scores that are not finite: {score}")
    _expect(np.unique(score.round(4)).size > 1, classifier, "gives every text the same score")
    turned = scorer(TEXTS[::-1])
    _expect(_close(turned, {name: values[::-1] for name, values in columns.items()}), classifier, "loses the order")
    twice = {name: values[[0, 7]] for name, values in columns.items()}
    _expect(
        _close(twice, {name: values[[7, 0]] for name, values in columns.items()}), classifier, "favours a duplicate"
    )


def _check_canary(classifier: Classifier) -> None:
    """A tiny twin has a canary, and every replica reproduces it."""
    _expect(classifier.canary() is not None, classifier, "writes no canary")
    load_replica((classifier,), ScoringSpec()).check_canaries()


def _check_missing(classifier: Classifier) -> None:
    columns = load_replica((classifier,), ScoringSpec())([TEXTS[0], *BLANK])
    for name, values in columns.items():
        missing = [value is None if classifier.columns[name] == "str" else np.isnan(value) for value in values]
        _expect(missing == [False, True, True, True], classifier, f"gives blank texts a value of {name}: {values}")


def _close(found: Mapping[str, NDArray[Any]], expected: Mapping[str, Sequence[Any] | NDArray[Any]]) -> bool:
    return all(
        bool(np.array_equal(values, expected[name]))
        if values.dtype == object
        else bool(np.allclose(values, expected[name], rtol=0, atol=TOLERANCE, equal_nan=True))
        for name, values in found.items()
    )


def _expect(holds: bool, who: Any, otherwise: str) -> None:
    if not holds:
        raise AssertionError(f"{type(who).__name__} {otherwise}.")


def _expect_equal(found: "Frame", expected: "Frame", who: Any, otherwise: str) -> None:
    try:
        pd.testing.assert_frame_equal(frames.on_host(found), frames.on_host(expected), rtol=0, atol=TOLERANCE)
    except AssertionError as error:
        raise AssertionError(f"{type(who).__name__} {otherwise}: {error}") from None


def _expect_refusal(stage: Stage, frame: "Frame", when: str) -> None:
    try:
        stage(frame)
    except ColumnError:
        return
    raise AssertionError(f"{type(stage).__name__} raises no ColumnError when {when}.")

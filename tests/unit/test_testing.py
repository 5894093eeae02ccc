"""The public checks notice a broken promise."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curation.core.classifier import Canary, Classifier
from curation.core.stage import Stage
from curation.testing import check_classifier, check_stage

FRAME = pd.DataFrame({"text": ["a", "bcd", "ef"]}, index=[4, 4, 9])


@dataclass(frozen=True)
class Length(Stage):
    """A stage that keeps every promise; its heirs break one each."""

    name: str = "length"

    @property
    def reads(self):
        return ("text",)

    @property
    def adds(self):
        return {self.name: "int64"}

    def compute(self, frame):
        return {self.name: frame["text"].str.len().to_numpy().astype("int64")}


class LooksAtNeighbours(Length):
    def compute(self, frame):
        return {self.name: np.full(len(frame), len(frame))}


class CountsRows(Length):
    def compute(self, frame):
        return {self.name: np.arange(len(frame))}


class EditsTheFrame(Length):
    def compute(self, frame):
        frame["text"] = "gone"
        return {self.name: np.ones(len(frame), "int64")}


class AnnouncesAnotherDtype(Length):
    def meta(self, frame):
        return super().meta(frame).astype({self.name: "int8"})


class ReadsNothing(Length):
    def __call__(self, frame):
        return super().__call__(frame.assign(text=frame.get("text", "")))


@dataclass(unsafe_hash=True)
class Changeable(Stage):
    column: str
    name = "length"
    reads = ("text",)
    adds = Length().adds
    compute = Length.compute


def test_a_stage_that_keeps_its_promises_passes():
    check_stage(Length(), FRAME)


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        (LooksAtNeighbours(), "something else when it is alone"),
        (CountsRows(), "something else when it is alone"),
        (EditsTheFrame(), "changed the frame"),
        (AnnouncesAnotherDtype(), "announces something else"),
        (ReadsNothing(), "raises no ColumnError when a column that it reads is missing"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_stage_that_breaks_one_is_told_which(stage, reason):
    with pytest.raises(AssertionError, match=reason):
        check_stage(stage, FRAME)


def test_a_stage_that_can_be_changed_is_refused():
    with pytest.raises(AssertionError, match="can be changed"):
        check_stage(Changeable("text"), FRAME)


@dataclass(frozen=True)
class Vowels(Classifier):
    """A classifier that keeps every promise: the share of vowels."""

    name: str
    directory: str

    @property
    def columns(self):
        return {self.name: "float32"}

    def fingerprint(self):
        return "0" * 64

    def load(self, _device):
        return lambda texts: {self.name: np.array([self.score(text) for text in texts], np.float32)}

    def score(self, text):
        return sum(letter in "aeiou" for letter in text) / len(text)

    @classmethod
    def tiny(cls, directory: Path):
        return cls("vowels", str(directory))

    def canary(self):
        return Canary(("aeiou", "xyz"), (1.0, 0.0), 1e-6)


class KnowsItsFolder(Vowels):
    def fingerprint(self):
        return f"{sum(map(ord, self.directory)):064x}"


class KnowsItsName(Vowels):
    def fingerprint(self):
        return f"{len(self.name):064x}"


class ScoresInDouble(Vowels):
    def load(self, _device):
        return lambda texts: {self.name: np.array([self.score(text) for text in texts])}


class SortsItsTexts(Vowels):
    def load(self, device):
        return lambda texts: super(SortsItsTexts, self).load(device)(sorted(texts))


class HasOneScore(Vowels):
    def score(self, _text):
        return 0.5

    def canary(self):
        return replace(super().canary(), scores=(0.5, 0.5))


class HasNoCanary(Vowels):
    def canary(self):
        return None


class HasAFixedColumn(Vowels):
    @property
    def columns(self):
        return {"vowels": "float32"}


def test_a_classifier_that_keeps_its_promises_passes(tmp_path):
    check_classifier(Vowels, tmp_path)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (KnowsItsFolder, "another fingerprint in another folder"),
        (KnowsItsName, "another fingerprint under another name"),
        (ScoresInDouble, "gives vowels as float64, not float32"),
        (SortsItsTexts, "loses the order"),
        (HasOneScore, "gives every text the same score"),
        (HasNoCanary, "writes no canary"),
        (HasAFixedColumn, "columns that do not follow its name"),
    ],
)
def test_a_classifier_that_breaks_one_is_told_which(kind, reason, tmp_path):
    with pytest.raises(AssertionError, match=reason):
        check_classifier(kind, tmp_path)

import json
import tomllib

import numpy as np
import pytest

from curation.core.errors import ConfigError
from curation.evaluation.metrics import Measured
from curation.training.card import _cell, _thresholds, judging, output_mistakes, toml, write
from curation.training.train import _rounded


def test_settings_come_back_from_the_recipe_file():
    tables = {
        "name": 'a "b" \\ ü\nc',
        "num_folds": 5,
        "hold_out": 0.1,
        "recipe": {
            "kind": "encoder",
            "keep": [["quality", 3.0]],
            "on": True,
            "method": [{"kind": "ridge", "l2": [1e-05]}],
        },
    }
    assert tomllib.loads(toml(tables)) == tables


def test_what_is_not_set_is_left_out():
    assert toml({"a": None, "t": {"b": None, "c": 1}}) == "\n[t]\nc = 1\n"


def test_the_card_says_when_the_documents_that_chose_the_epoch_judge_too():
    assert "flatters" in judging(0, 0.1)
    assert "flatters" not in judging(5, 0.1)


CARD = {"format": 1, "kind": "encoder", "recipe": {}, "metrics": {}}


def test_a_folder_that_holds_anything_but_a_trained_classifier_is_never_written_to(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.txt").write_text("years of work", encoding="utf-8")
    (tmp_path / "thesis" / "card.json").write_text("{}", encoding="utf-8")
    assert "thesis holds files and no card.json" in output_mistakes(tmp_path / "thesis")[0]
    with pytest.raises(ConfigError, match="no card"):
        write(tmp_path / "thesis", None, {}, lambda _: None, {})
    assert (tmp_path / "thesis" / "thesis.txt").read_text(encoding="utf-8") == "years of work"


def test_a_classifier_directory_an_empty_folder_and_nothing_may_be_replaced(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "head").mkdir()
    (tmp_path / "head" / "card.json").write_text(json.dumps(CARD), encoding="utf-8")
    assert [output_mistakes(tmp_path / name) for name in ("empty", "head", "new/one")] == [[], [], []]


@pytest.mark.parametrize("name", ["file", "file/head"])
def test_a_file_in_the_way_is_a_mistake(tmp_path, name):
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert "is a file" in output_mistakes(tmp_path / name)[0]


def test_a_figure_stays_where_a_bound_of_its_interval_is_not_defined():
    assert _rounded(Measured(0.51234, np.nan, 0.7)) == [0.512, None, 0.7]
    assert _rounded(Measured(np.nan, np.nan, np.nan)) is None
    assert _cell([0.512, None, 0.7]) == "0.512 [not defined, 0.700]"


def test_the_card_says_whose_scores_thresholds_are_cuts_on():
    cut = {"label": 3.0, "score": 2.5, "macro_f1": 0.8, "share_above": 0.1}
    assert "of the packaged model." in _thresholds([cut], 0)
    assert "The share holds for it too" in _thresholds([cut], 5)

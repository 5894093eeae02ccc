import tomllib

from curation.training.card import judging, toml


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

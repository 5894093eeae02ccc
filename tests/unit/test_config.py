"""curation.config: tables → specs, every mistake at once."""

import json
from dataclasses import dataclass
from typing import ClassVar, Literal

import pytest

from curation import config
from curation.core.errors import ConfigError


@dataclass(frozen=True)
class Animal:
    name: str


@dataclass(frozen=True)
class Cat(Animal):
    kind: ClassVar[str] = "cat"
    lives: int = 9


@dataclass(frozen=True)
class Place:
    path: tuple[str, ...]
    max_bytes: int = 5
    mode: Literal["", "day", "night"] = ""
    share: float = 0.5


@dataclass(frozen=True)
class Zoo:
    output: str
    place: Place
    animal: tuple[Animal, ...] = ()
    tiers: tuple[tuple[str, tuple[int, int]], ...] = (("all", (0, 19)),)
    open: bool = True


def choose(kind):
    if kind != "cat":
        raise ConfigError(f"{kind!r} is not a kind of animal; there is cat.")
    return Cat


def look_up(name):
    if name != "tom":
        raise ConfigError(f"the catalog has no {name!r}; {config.nearest(name, ['tom'])}")
    return {"kind": "cat", "name": "tom", "lives": 7}


KINDS = {Animal: choose}
CATALOGS = {Animal: look_up}
TABLES = {"output": "out", "place": {"path": ["a", "b"]}, "animal": [{"kind": "cat", "name": "tom"}]}


def parse(tables=TABLES, *overrides):
    return config.parse(Zoo, tables, overrides, KINDS, CATALOGS)


def mistakes(tables, *overrides):
    with pytest.raises(ConfigError) as caught:
        parse(tables, *overrides)
    return list(caught.value.mistakes)


def test_tables_fill_the_spec_and_defaults_the_rest():
    assert parse() == Zoo("out", Place(("a", "b")), (Cat("tom"),))


def test_a_single_value_stands_for_a_list_of_one():
    assert parse({"output": "out", "place": {"path": "a"}}).place.path == ("a",)


def test_a_table_becomes_pairs_where_the_spec_has_pairs():
    assert parse(TABLES | {"tiers": {"high": [19, 19], "low": [0, 18]}}).tiers == (("high", (19, 19)), ("low", (0, 18)))


@pytest.mark.parametrize(
    ("text", "size"), [("128MB", 128_000_000), ("16MiB", 16_777_216), ("1.5 kb", 1500), ("7", 7), ("2g", 2 * 10**9)]
)
def test_sizes_are_written_with_units(text, size):
    assert parse({"output": "o", "place": {"path": "a", "max_bytes": text}}).place.max_bytes == size


def test_overrides_reach_tables_lists_by_name_and_unique_keys():
    spec = parse(TABLES, "output=elsewhere", "place.share=1", "mode=night", "animal.tom.lives=7")
    assert spec == Zoo("elsewhere", Place(("a", "b"), mode="night", share=1.0), (Cat("tom", lives=7),))


def test_overrides_do_not_change_the_tables_they_are_given():
    parse(TABLES, "animal.tom.lives=7")
    assert TABLES["animal"] == [{"kind": "cat", "name": "tom"}]


def test_every_mistake_is_reported_at_once():
    tables = {
        "outptu": "out",
        "place": {"path": [3], "mode": "dawn", "max_bytes": "3QB"},
        "animal": [{"kind": "dog", "name": "rex"}, {"name": "nobody"}, {"kind": "cat", "name": "tom", "lives": "nine"}],
    }
    assert mistakes(tables, "sahre=1", "noequals", "animal.felix.lives=1") == [
        "sahre: there is no such setting; did you mean 'share'?",
        "'noequals': an override is written key=value.",
        "animal.felix.lives: there is no 'felix' to override.",
        "outptu: there is no such setting; did you mean 'output'?",
        "place.path[0]: 3 is not a string.",
        "place.mode: 'dawn' is not one of 'day', 'night'.",
        'place.max_bytes: \'3QB\' is not a size; write bytes as a number, or "128MB", or "16MiB".',
        "animal.rex.kind: 'dog' is not a kind of animal; there is cat.",
        'animal.nobody: is a table that says its kind, as in kind = "encoder".',
        "animal.tom.lives: 'nine' is not a whole number.",
        "output: is missing, and has no default.",
    ]


def test_a_dumped_spec_is_json_and_parses_to_itself():
    spec = parse(TABLES, "animal.tom.lives=7", "open=false")
    assert parse(json.loads(json.dumps(config.dump(spec)))) == spec


def test_a_missing_file_and_broken_toml_are_named(tmp_path):
    broken = tmp_path / "broken.toml"
    broken.write_text("a = ")
    with pytest.raises(ConfigError, match="no such config file"):
        config.load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=r"broken\.toml: cannot be read"):
        config.load(broken)


def test_what_a_catalog_knows_is_written_as_its_name():
    by_name = parse(TABLES | {"animal": ["tom", {"kind": "cat", "name": "ann"}]})
    assert by_name.animal == (Cat("tom", lives=7), Cat("ann"))
    assert parse(TABLES | {"animal": "tom"}).animal == (Cat("tom", lives=7),)


def test_settings_beside_a_name_replace_those_of_its_entry():
    spec = parse(TABLES | {"animal": [{"catalog": "tom", "name": "old-tom", "lives": 1}, "tom"]})
    assert spec.animal == (Cat("old-tom", lives=1), Cat("tom", lives=7))


def test_overrides_reach_what_a_name_stands_for():
    assert parse(TABLES | {"animal": ["tom"]}, "animal.tom.lives=2").animal == (Cat("tom", lives=2),)
    assert parse(TABLES, 'animal=["tom"]', "animal.tom.lives=2").animal == (Cat("tom", lives=2),)


def test_a_spec_is_dumped_without_the_names_of_a_catalog():
    dumped = config.dump(parse(TABLES | {"animal": ["tom"]}))
    assert dumped["animal"] == [{"kind": "cat", "name": "tom", "lives": 7}]


def test_names_that_a_catalog_lacks_are_mistakes_that_name_the_nearest():
    assert mistakes(TABLES | {"animal": ["tim", {"catalog": "x", "name": "ann"}, {"catalog": 3}], "open": 1}) == [
        "animal[0]: the catalog has no 'tim'; did you mean 'tom'?",
        "animal.ann: the catalog has no 'x'; there are tom.",
        "animal[2].catalog: 3 is not a string.",
        "open: 1 is not true or false.",
    ]


def test_the_only_table_of_a_list_needs_no_name():
    assert parse(TABLES, "animal.lives=7").animal == (Cat("tom", lives=7),)


def test_one_table_of_several_is_not_guessed():
    two = TABLES | {"animal": [{"kind": "cat", "name": "tom"}, {"kind": "cat", "name": "ann"}]}
    why = "animal.lives: there is no one table 'animal' with a setting 'lives' to override."
    assert mistakes(two, "animal.lives=7") == [why]
    assert mistakes(TABLES, "output.lives=7") == [
        "output.lives: there is no one table 'output' with a setting 'lives' to override."
    ]

"""Settings → frozen specs, with every mistake in one message.

A spec is a frozen dataclass that lives beside its owner. `parse` fills one from TOML tables and ``key=value`` overrides
by reading its annotations, `dump` gives the tables back: ``parse(type(spec), dump(spec)) == spec``.

What a catalog knows may be written as its name, ``classifier = ["dclm"]``, or as a table that begins with it,
``catalog = "dclm"``, and goes on with settings that replace the entry's. A spec holds what the entry says, and no name.
"""

import dataclasses
import difflib
import inspect
import json
import re
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from curation.core.errors import ConfigError

Spec = TypeVar("Spec")
Kinds = Mapping[type, Callable[[str], type]]
"""For a field whose type is a base class: the function that turns a table's `kind` into the class to fill."""
Catalogs = Mapping[type, Callable[[str], Mapping[str, Any]]]
"""For a field of a base class: the function that turns the name of something published into its table."""

_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.IGNORECASE)
_WORDS = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}


def one_of(what: str, *classes: type) -> Callable[[str], type]:
    """For `Kinds`: finds one of these classes by its `kind`, and raises ConfigError that lists them."""
    by_kind = {cls.kind: cls for cls in classes}  # type: ignore[attr-defined]

    def find(kind: str) -> type:
        if kind not in by_kind:
            raise ConfigError(f"There is no {what} of kind {kind!r}; the kinds are {', '.join(by_kind)}.")
        return by_kind[kind]

    return find


def load(path: str | Path) -> dict[str, Any]:
    """The tables of a ``.toml`` or ``.json`` file. Raises ConfigError when it is missing or cannot be parsed."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        return dict(json.loads(text)) if path.suffix == ".json" else tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such config file.") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as {path.suffix or 'TOML'}: {error}.") from None


def parse(
    cls: type[Spec],
    tables: Mapping[str, Any],
    overrides: Sequence[str] = (),
    kinds: Kinds | None = None,
    catalogs: Catalogs | None = None,
) -> Spec:
    """`cls` filled from `tables`, after the overrides.

    An override is ``table.key=value`` with a TOML value or a bare string; ``key=value`` is enough where only one table
    has such a key; an element of a list of tables is addressed by its name: ``classifier.edu.max_tokens=256``, or
    without one where there is no other: ``recipe.method.num_epochs=30``.
    Settings that end in ``_bytes`` also take "128MB" or "16MiB".
    Raises ConfigError with all mistakes: unknown keys, missing keys, wrong types, unknown choices and names.
    """
    mistakes: list[str] = []
    changed = _copy(tables)
    _look_up(cls, changed, mistakes, catalogs or {})
    for override in overrides:
        _override(cls, changed, override, mistakes)
        _look_up(cls, changed, mistakes, catalogs or {})  # an override may name one, the next a setting of it
    spec = _fill(cls, changed, "", mistakes, kinds or {})
    if mistakes:
        raise ConfigError(*mistakes)
    return typing.cast("Spec", spec)


def dump(spec: Any) -> Any:
    """A spec as JSON values, complete with its defaults; a class that a `kind` chose says its kind."""
    if dataclasses.is_dataclass(spec) and not isinstance(spec, type):
        fields = {field.name: dump(getattr(spec, field.name)) for field in dataclasses.fields(spec)}
        kind = getattr(type(spec), "kind", None)
        return fields if kind is None else {"kind": kind} | fields
    if isinstance(spec, tuple):
        return [dump(value) for value in spec]
    return spec


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(each) for key, each in value.items()}
    return [_copy(each) for each in value] if isinstance(value, list) else value


def nearest(key: str, known: Iterable[str]) -> str:
    """What a key that is not known may have meant, or else all that there are."""
    near = difflib.get_close_matches(key, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(set(known)))}."


def _look_up(cls: type, tables: Any, mistakes: list[str], catalogs: Catalogs) -> None:
    """Put whole tables where `tables` names what a catalog knows; what it does not know is noted and left out."""
    for key, hint in typing.get_type_hints(cls).items() if isinstance(tables, Mapping) else ():
        several = typing.get_origin(hint) is tuple
        base = typing.get_args(hint)[0] if several else hint
        if base in catalogs and key in tables:
            values = tables[key] if isinstance(tables[key], list) else [tables[key]]
            found = [
                _known(catalogs[base], value, _element(key, place, value) if several else key, mistakes)
                for place, value in enumerate(values)
            ]
            tables[key] = [value for value in found if value is not None] if several else found[0]


def _known(look_up: Callable[[str], Mapping[str, Any]], value: Any, where: str, mistakes: list[str]) -> Any:
    """The table that a value names, with the settings that it replaces; another value as it is."""
    named = {"catalog": value} if isinstance(value, str) else value
    if not isinstance(named, Mapping) or "catalog" not in named:
        return value
    own = dict(named)
    name = own.pop("catalog")
    if not isinstance(name, str):
        mistakes.append(f"{where}.catalog: {name!r} is not a string.")
        return None
    try:
        return dict(look_up(name)) | own
    except ConfigError as error:
        mistakes.extend(f"{where}: {mistake}" for mistake in error.mistakes)
        return None


def _fill(cls: type, table: Any, where: str, mistakes: list[str], kinds: Kinds) -> Any:
    """An instance of dataclass `cls`, which may find mistakes of its own; None after noting any."""
    if not isinstance(table, Mapping):
        mistakes.append(f"{where or 'the config'}: {table!r} is not a table.")
        return None
    before = len(mistakes)
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    values = {}
    for key, value in table.items():
        if key in fields:
            values[key] = _value(hints[key], value, _at(where, key), mistakes, kinds)
        elif not (key == "kind" and hasattr(cls, "kind")):
            mistakes.append(f"{_at(where, key)}: there is no such setting; {nearest(key, fields)}")
    for name, field in fields.items():
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed and name not in table:
            mistakes.append(f"{_at(where, name)}: is missing, and has no default.")
    if len(mistakes) > before:
        return None
    try:
        return cls(**values)
    except ConfigError as error:
        mistakes.extend(error.mistakes)
        return None


def _value(hint: Any, value: Any, where: str, mistakes: list[str], kinds: Kinds) -> Any:
    """`value` as the type that `hint` names, noting a mistake when it is none."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return _tuple(arguments, value, where, mistakes, kinds)
    if origin is Literal:
        if value not in arguments:
            choices = ", ".join(repr(choice) for choice in arguments if choice != "")
            mistakes.append(f"{where}: {value!r} is not one of {choices}.")
        return value
    if origin in {types.UnionType, typing.Union}:
        inner = next(each for each in arguments if each is not types.NoneType)
        return None if value is None else _value(inner, value, where, mistakes, kinds)
    if hint in kinds:
        return _kind(kinds[hint], value, where, mistakes, kinds)
    if dataclasses.is_dataclass(hint):
        return _fill(typing.cast("type", hint), value, where, mistakes, kinds)
    if hint is int and where.endswith("_bytes") and isinstance(value, str):
        return _size(value, where, mistakes)
    if hint is float and type(value) is int:
        return float(value)
    if hint is not Any and type(value) is not hint:
        mistakes.append(f"{where}: {value!r} is not {_WORDS.get(hint, hint)}.")
    return value


def _tuple(arguments: tuple[Any, ...], value: Any, where: str, mistakes: list[str], kinds: Kinds) -> tuple[Any, ...]:
    """Lists become tuples, tables become tuples of (key, value), and a single value a tuple of one."""
    if isinstance(value, Mapping):
        value = [list(pair) for pair in value.items()] if not _is_table(arguments[0], kinds) else [value]
    elif not isinstance(value, list):
        value = [value]
    if arguments[-1] is Ellipsis:
        hints = [arguments[0]] * len(value)
    elif len(arguments) == len(value):
        hints = list(arguments)
    else:
        mistakes.append(f"{where}: {value!r} has {len(value)} values; it needs {len(arguments)}.")
        return ()
    return tuple(
        _value(hint, each, _element(where, place, each), mistakes, kinds)
        for place, (hint, each) in enumerate(zip(hints, value, strict=True))
    )


def _is_table(hint: Any, kinds: Kinds) -> bool:
    return hint in kinds or dataclasses.is_dataclass(hint)


def _kind(choose: Callable[[str], type], value: Any, where: str, mistakes: list[str], kinds: Kinds) -> Any:
    """A dataclass of the kind that the table itself names."""
    if not isinstance(value, Mapping) or not isinstance(value.get("kind"), str):
        mistakes.append(f'{where}: is a table that says its kind, as in kind = "encoder".')
        return None
    try:
        cls = choose(value["kind"])
    except ConfigError as error:
        mistakes.extend(f"{where}.kind: {mistake}" for mistake in error.mistakes)
        return None
    return _fill(cls, value, where, mistakes, kinds)


def _size(text: str, where: str, mistakes: list[str]) -> int:
    match = _SIZE.fullmatch(text.strip())
    unit = match[2].lower().removesuffix("b") + "b" if match and match[2] else ""
    if match is None or unit not in _UNITS:
        mistakes.append(f'{where}: {text!r} is not a size; write bytes as a number, or "128MB", or "16MiB".')
        return 0
    return int(float(match[1]) * _UNITS[unit])


def _override(cls: type, tables: dict[str, Any], override: str, mistakes: list[str]) -> None:
    """Set one key in `tables`, making the tables on the way."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        mistakes.append(f"{override!r}: an override is written key=value.")
        return
    path = _path(cls, key.strip(), mistakes)
    here: Any = tables
    for part in path[:-1]:
        here = _enter(here, part)
        if here is None:
            mistakes.append(f"{key}: there is no {part!r} to override.")
            return
    if path and isinstance(here, list):
        here = here[0] if len(here) == 1 else None
    if path and not isinstance(here, dict):
        mistakes.append(
            f"{key}: there is no one table {'.'.join(path[:-1])!r} with a setting {path[-1]!r} to override."
        )
    elif path:
        here[path[-1]] = _toml_value(text.strip())


def _enter(here: Any, part: str) -> Any:
    if isinstance(here, list):
        named = next((each for each in here if isinstance(each, dict) and each.get("name") == part), None)
        return _enter(here[0], part) if named is None and len(here) == 1 and part in here[0] else named
    return here.setdefault(part, {}) if isinstance(here, dict) else None


def _path(cls: type, key: str, mistakes: list[str]) -> list[str]:
    """The path that a key means: itself, or the one table's key that has this name."""
    if "." in key or key in {field.name for field in dataclasses.fields(cls)}:
        return key.split(".")
    tables = {name: hint for name, hint in typing.get_type_hints(cls).items() if dataclasses.is_dataclass(hint)}
    owners = [name for name, hint in tables.items() if key in {field.name for field in dataclasses.fields(hint)}]
    if len(owners) == 1:
        return [owners[0], key]
    if owners:
        mistakes.append(f"{key}: could be {' or '.join(f'{owner}.{key}' for owner in owners)}; write which.")
    else:
        known = [field.name for each in (cls, *tables.values()) for field in dataclasses.fields(each)]
        mistakes.append(f"{key}: there is no such setting; {nearest(key, known)}{_of_a_kind(cls)}")
    return []


def _of_a_kind(cls: type) -> str:
    """What to write for a setting whose table is of one of several kinds, so that its keys are not known here."""
    open_tables = [name for name, hint in typing.get_type_hints(cls).items() if inspect.isabstract(hint)]
    return (
        f" A setting of [{open_tables[0]}] is written with its table: {open_tables[0]}.<setting>."
        if open_tables
        else ""
    )


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _at(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _element(where: str, place: int, value: Any) -> str:
    name = value.get("name") if isinstance(value, Mapping) else None
    return f"{where}.{name}" if isinstance(name, str) else f"{where}[{place}]"

"""The `[input]` table of a config: which files are read, and what of them."""

import re
from dataclasses import dataclass

CARRY_TYPES = ("string", "int64", "float64", "bool")
RESERVED = ("position", "id", "text", "n_bytes", "n_chars", "n_tokens", "state")
"""The columns that every frame or rows/ file has; none can be carried under such a name."""

_UNSPEAKABLE = re.compile(r'["\\\x00-\x1f]')


@dataclass(frozen=True)
class InputSpec:
    """The `[input]` table.

    `path`: files, folders or globs, on any fsspec path. `id_column`: "" where there is none; then ids are made.
    `carry`: columns kept beside the scores, each "name" (a string) or "name:int64", "name:float64", "name:bool",
    "name:string". `where`: a pandas expression over carried columns; rows for which it is false or null are not
    selected. (As in pandas, a missing string equals nothing, so ``lang != 'en'`` is true where `lang` is missing.)
    """

    path: tuple[str, ...]
    id_column: str = "id"
    text_column: str = "text"
    carry: tuple[str, ...] = ()
    where: str = ""
    shard_bytes: int = 134_217_728
    partition_bytes: int = 16_777_216

    @property
    def carried(self) -> dict[str, str]:
        """Carried column → one of `CARRY_TYPES`, in order."""
        return dict(_named_type(each) for each in self.carry)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read, each once."""
        names = (self.id_column, self.text_column, *self.carried)
        return tuple(dict.fromkeys(name for name in names if name))

    def mistakes(self) -> list[str]:
        """What is wrong with the settings themselves; nothing is opened."""
        found = []
        if not self.path or not all(self.path):
            found.append("[input] path: is empty; name a file, a folder or a glob.")
        if not self.text_column:
            found.append("[input] text_column: is empty; name the column that holds the text.")
        elif self.id_column == self.text_column:
            found.append(f'[input] id_column: {self.id_column!r} is the text column; name another one, or "" for none.')
        found.extend(
            f"[input] {setting}: {value} bytes; it must be at least 1."
            for setting, value in (("shard_bytes", self.shard_bytes), ("partition_bytes", self.partition_bytes))
            if value < 1
        )
        found.extend(
            f"[input]: the column name {name!r} holds a quote, a backslash or a control character; rename the column."
            for name in self.columns
            if _UNSPEAKABLE.search(name)
        )
        if self.where and not self.carry:
            found.append("[input] where: selects on carried columns, but carry is empty; add the columns it needs.")
        return found + self._carry_mistakes()

    def _carry_mistakes(self) -> list[str]:
        found, seen = [], set()
        for each in self.carry:
            name, kind = _named_type(each)
            if not name:
                found.append(f"[input] carry: {each!r} names no column.")
            if kind not in CARRY_TYPES:
                types = ", ".join(CARRY_TYPES)
                found.append(f"[input] carry: {each!r} asks for the type {kind!r}; the types are {types}.")
            if name == self.text_column:
                found.append(f"[input] carry: {name!r} is the text, which stays in the documents; leave it out.")
            elif name in RESERVED:
                found.append(f"[input] carry: {name!r} is a column that every row has already; rename or leave it out.")
            if name in seen:
                found.append(f"[input] carry: {name!r} is named twice.")
            seen.add(name)
        return found


def _named_type(carried: str) -> tuple[str, str]:
    name, separator, kind = carried.rpartition(":")
    return (name, kind) if separator else (carried, "string")

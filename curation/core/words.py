"""Words: numbers in sentences, and names that people give to things."""

import re

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def counted(number: int, noun: str) -> str:
    """So many of a thing: "1 worker", "2 workers"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def can_name_folder(name: str) -> bool:
    """Whether a name can be that of a folder or column: letters, digits, dots, hyphens and underscores only."""
    return bool(_NAME.fullmatch(name))

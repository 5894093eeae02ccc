"""Numbers in sentences."""


def counted(number: int, noun: str) -> str:
    """So many of a thing: "1 worker", "2 workers"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

"""What the package does only with packages that are not installed with it."""

import importlib.util


def missing(extra: str, *packages: str) -> list[str]:
    """What to install so that these packages can be imported, for a list of mistakes; nothing where all can."""
    absent = [package for package in packages if importlib.util.find_spec(package) is None]
    return [f"{' and '.join(absent)}: not installed; run pip install '.[{extra}]'."] if absent else []

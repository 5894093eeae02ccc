"""Classifiers: one file is one kind, and its name is the name that a config gives as `kind`.

A file of this folder that holds a subclass of `Classifier` is a kind; nothing is registered.
"""

from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from inspect import isabstract, isclass
from pkgutil import iter_modules
from types import MappingProxyType

from curation.core.classifier import Classifier
from curation.core.errors import ConfigError

__all__ = ["kind", "kinds"]


@lru_cache(maxsize=1)
def kinds() -> Mapping[str, type[Classifier]]:
    """Every kind by name."""
    found = {module.name: _classifier_in(module.name) for module in iter_modules(__path__)}
    return MappingProxyType({name: cls for name, cls in sorted(found.items()) if cls is not None})


def kind(name: str) -> type[Classifier]:
    """The class of a kind. Raises ConfigError that lists the kinds."""
    if name not in kinds():
        raise ConfigError(f"There is no classifier of kind {name!r}; the kinds are {', '.join(kinds())}.")
    return kinds()[name]


def _classifier_in(name: str) -> type[Classifier] | None:
    """The concrete subclass of Classifier that a module defines itself."""
    module = import_module(f"{__name__}.{name}")
    own = [value for value in vars(module).values() if isclass(value) and value.__module__ == module.__name__]
    return next((cls for cls in own if issubclass(cls, Classifier) and not isabstract(cls)), None)

"""What can go wrong, by who has to act.

Every message is a sentence or two: where, what is wrong with which value, what would be right, what to do now.
Scripts print the message of a `CurationError` without a traceback and exit with code 2.
"""

from collections.abc import Sequence


class CurationError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(CurationError):
    """A setting, or several: the message lists every mistake that was found."""

    def __init__(self, *mistakes: str) -> None:
        self.mistakes: Sequence[str] = mistakes
        super().__init__("\n".join(mistakes))

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[str, ...]]:
        return type(self), tuple(self.mistakes)


class ColumnError(CurationError):
    """A frame lacks a column, has one too many, or one of another type."""


class ShardError(CurationError):
    """An input file, or one shard of it, cannot be read or its outputs cannot be written."""


class CalibrationError(CurationError):
    """No thresholds can be found in the scores that are there."""


class ModelError(CurationError):
    """A classifier's files are missing, not what they should be, or score something else than they promised."""


class DeviceError(ModelError):
    """A device that does not compute what it did before: its process has to end, and a fresh one to go on."""


class ClusterError(CurationError):
    """Workers cannot be reached, or stopped being reachable."""


class EndpointError(CurationError):
    """A language model's endpoint cannot be used, and trying again would not help."""

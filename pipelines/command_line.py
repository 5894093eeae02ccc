"""What the scripts beside this one have in common: a config with overrides, two consoles, and how they end."""

import argparse
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from rich.console import Console

from curation.core.errors import CurationError

MISTAKE, STOPPED = 2, 75

_ASKED_TO_STOP = (signal.SIGTERM, signal.SIGUSR1)
for _number in _ASKED_TO_STOP:  # also while a script imports what it needs, which takes seconds
    signal.signal(_number, lambda *_: sys.exit(STOPPED))

OUT, ERR = (
    Console(stderr=stderr, soft_wrap=True, highlight=False, markup=False, emoji=False) for stderr in (False, True)
)


def parser(
    about: str | None, config: str = "a TOML file, or the config.json of a run", *, optional: bool = False
) -> argparse.ArgumentParser:
    """A parser of CONFIG, which may be `optional`, and of key=value; a script adds options of its own."""
    found = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("config", nargs="?" if optional else None, help=config)
    found.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="settings that replace those of the config"
    )
    return found


def end_with(main: Callable[[], int], stopped: str = "Stopped.") -> NoReturn:
    """End with the exit code that `main` gives; a mistake is one message and 2, Ctrl-C or a signal another and 75."""
    for number in _ASKED_TO_STOP:
        signal.signal(number, signal.default_int_handler)
    try:
        code = main()
    except CurationError as error:
        ERR.print(str(error), style="red")
        code = MISTAKE
    except KeyboardInterrupt:
        ERR.print(stopped, style="red")
        code = STOPPED
    sys.exit(code)

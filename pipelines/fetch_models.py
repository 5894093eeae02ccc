"""Fetch the models of a config from the hub, once; runs find them offline.

python pipelines/fetch_models.py CONFIG [key=value …] [--into FOLDER] [--from FOLDER | --verify]
"""

import argparse
import signal
import sys

from rich.console import Console

from curation.classifiers import fetch
from curation.core.errors import CurationError
from curation.execution import spec

MISTAKE, STOPPED = 2, 75


def main() -> int:
    """Parse, fetch or verify, say. Gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a TOML file, or the config.json of a run")
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="settings that replace those of the config"
    )
    parser.add_argument("--into", default="", metavar="FOLDER", help="where bundles go; default: each one's `bundles`")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--from", dest="original", metavar="FOLDER", help="copy from this folder of bundles and ask no hub"
    )
    how.add_argument("--verify", action="store_true", help="hash what is there, offline, and change nothing")
    arguments = parser.parse_intermixed_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    out, err = (
        Console(stderr=stderr, soft_wrap=True, highlight=False, markup=False, emoji=False) for stderr in (False, True)
    )
    try:
        needs = fetch.wanted(spec.read(arguments.config, arguments.overrides).classifier, arguments.into)
        if not needs:
            out.print("No classifier of this config takes its model from the hub.")
        return verify(needs, out, err) if arguments.verify else get(needs, arguments, out)
    except CurationError as error:
        err.print(str(error), style="red")
        return MISTAKE
    except KeyboardInterrupt:
        err.print("Stopped. Nothing half-finished was kept; the same command starts again.", style="red")
        return STOPPED


def get(needs: list[fetch.Wanted], arguments: argparse.Namespace, out: Console) -> int:
    """Fetch or copy what is not there, and print how a config pins it."""
    original = arguments.original
    fetched = fetch.copy(needs, original, out.print) if original else fetch.fetch(needs, out.print)
    if lines := list(fetch.pins(fetched)):
        out.print(f"To name exactly these, write into {arguments.config}:")
        out.print("\n".join(lines))
    return 0


def verify(needs: list[fetch.Wanted], out: Console, err: Console) -> int:
    """Hash every file of every bundle."""
    found = [fetch.damages(need) for need in needs]
    for need, damages in zip(needs, found, strict=True):
        for damage in damages:
            err.print(damage, style="red")
        if not damages:
            out.print(f"{need.model}: every file is as it was fetched")
    return MISTAKE if any(found) else 0


if __name__ == "__main__":
    sys.exit(main())

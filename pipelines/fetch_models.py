"""Fetch the models of a config from the hub, once; runs find them offline.

python pipelines/fetch_models.py CONFIG [key=value …] [--into FOLDER] [--from FOLDER | --verify]
"""

import argparse

from command_line import ERR, MISTAKE, OUT, end_with, parser

from curation.classifiers import fetch
from curation.execution import spec


def main() -> int:
    """Parse, fetch or verify, say. Gives the exit code."""
    options = parser(__doc__)
    options.add_argument("--into", default="", metavar="FOLDER", help="where bundles go; default: each one's `bundles`")
    how = options.add_mutually_exclusive_group()
    how.add_argument(
        "--from", dest="original", metavar="FOLDER", help="copy from this folder of bundles and ask no hub"
    )
    how.add_argument("--verify", action="store_true", help="hash what is there, offline, and change nothing")
    arguments = options.parse_intermixed_args()
    needs = fetch.wanted(spec.read(arguments.config, arguments.overrides).classifier, arguments.into)
    if not needs:
        OUT.print("No classifier of this config takes its model from the hub.")
    return verify(needs) if arguments.verify else get(needs, arguments)


def get(needs: list[fetch.Wanted], arguments: argparse.Namespace) -> int:
    """Fetch or copy what is not there, and print how a config pins it."""
    original = arguments.original
    fetched = fetch.copy(needs, original, OUT.print) if original else fetch.fetch(needs, OUT.print)
    if lines := list(fetch.pins(fetched)):
        OUT.print(f"To name exactly these, write into {arguments.config}:")
        OUT.print("\n".join(lines))
    return 0


def verify(needs: list[fetch.Wanted]) -> int:
    """Hash every file of every bundle."""
    found = [fetch.damages(need) for need in needs]
    for need, damages in zip(needs, found, strict=True):
        for damage in damages:
            ERR.print(damage, style="red")
        if not damages:
            OUT.print(f"{need.model}: every file is as it was fetched")
    return MISTAKE if any(found) else 0


if __name__ == "__main__":
    end_with(main, "Stopped. Nothing half-finished was kept; the same command starts again.")

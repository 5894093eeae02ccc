"""Fetch models from the hub, once: those of a config (of a run, or the trunk of a training), or published ones by name.

Runs and trainings find them offline.

python pipelines/fetch_models.py CONFIG | NAME… [key=value …] [--into FOLDER] [--from FOLDER | --verify]
python pipelines/fetch_models.py --list
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from command_line import ERR, MISTAKE, OUT, end_with
from rich.console import Console
from rich.table import Table

from curation import config
from curation.classifiers import catalog, fetch, published
from curation.core.errors import ConfigError, ModelError
from curation.execution import spec
from curation.training.recipe import TrunkRecipe
from curation.training.train import KINDS, TrainingSpec


def main() -> int:
    """Parse, fetch or verify, say. Gives the exit code."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "what",
        nargs="*",
        metavar="CONFIG | NAME | key=value",
        help="the config of a run or a training, or names of the catalog; settings that replace theirs",
    )
    options.add_argument("--into", default="", metavar="FOLDER", help="where bundles go; default: each one's `bundles`")
    how = options.add_mutually_exclusive_group()
    how.add_argument("--list", action="store_true", help="print the catalog, and do nothing")
    how.add_argument(
        "--from", dest="original", metavar="FOLDER", help="copy from this folder of bundles and ask no hub"
    )
    how.add_argument(
        "--verify",
        action="store_true",
        help="hash what is there, offline, and run the published cases; skip what is not; change nothing",
    )
    arguments = options.parse_intermixed_args()
    if arguments.list:
        Console(width=None if sys.stdout.isatty() else 160, highlight=False, markup=False).print(listed())
        return 0
    needs = wanted(arguments.what, arguments.into)
    if not needs:
        OUT.print("Nothing of this config comes from the hub.")
    return verify(needs) if arguments.verify else get(needs, arguments)


def wanted(what: Sequence[str], into: str) -> list[fetch.Wanted]:
    """What the words of the command line need, in their own folders of bundles or all in one. Raises ConfigError."""
    overrides = [word for word in what if "=" in word and not Path(word).is_file()]
    named = [word for word in what if word not in overrides]
    if not named or (any(map(is_config, named)) and len(named) > 1):
        raise ConfigError("Name one config, or names of the catalog, which --list prints.")
    if not is_config(named[0]):
        return fetch.wanted(catalog.chosen(named, overrides), into)
    if "recipe" not in (tables := config.load(named[0])):
        return fetch.wanted(spec.read(named[0], overrides).classifier, into)
    recipe = config.parse(TrainingSpec, tables, overrides, KINDS).recipe
    if not isinstance(recipe, TrunkRecipe):
        return []
    return fetch.wanted_trunk(recipe.trunk, recipe.revision, recipe.bundles, into)


def is_config(word: str) -> bool:
    """Whether a word on the command line is a config, and no name."""
    return word.endswith((".toml", ".json")) or Path(word).is_file()


def listed() -> Table:
    """The catalog as a table."""
    table = Table()
    for heading in ("name", "model", "revision", "tokens", "scale", "thresholds", "cases", "licence"):
        table.add_column(heading, overflow="fold")
    for entry in map(catalog.entry, catalog.names()):
        recipe = entry.classifier
        model, revision = getattr(recipe, "model", ""), getattr(recipe, "revision", "")
        max_tokens = getattr(recipe, "max_tokens", "all")
        thresholds = ", ".join(f"{threshold.score:g}" for threshold in entry.threshold)
        facts = (model, revision[:8] or "when fetched", max_tokens, entry.scale, thresholds or "none", len(entry.case))
        table.add_row(entry.name, *map(str, facts), entry.licence)
    return table


def get(needs: list[fetch.Wanted], arguments: argparse.Namespace) -> int:
    """Fetch or copy what is not there, and print how a config pins it."""
    original = arguments.original
    fetched = fetch.copy(needs, original, OUT.print) if original else fetch.fetch(needs, OUT.print)
    if lines := list(fetch.pins(fetched)):
        named = next(filter(is_config, arguments.what), "the [[classifier]] tables of your config")
        OUT.print(f"To name exactly these, write into {named}:")
        OUT.print("\n".join(lines))
    return 0


def verify(needs: list[fetch.Wanted]) -> int:
    """Hash every file of every bundle, and score the published cases of the models that are sound."""
    wrong = []
    for need in needs:
        try:
            wrong += failures(need)
        except ModelError as error:
            wrong.append(str(error))
    for line in wrong:
        ERR.print(line, style="red")
    return MISTAKE if wrong else 0


def failures(need: fetch.Wanted) -> list[str]:
    """What is wrong with a model, a line each; says what is right. One that was never fetched is skipped."""
    if not need.folders():
        revision = f"revision {need.revision}" if need.revision else "it"
        OUT.print(f"{need.model}: skipped, for {revision} is not in {need.bundles}; without --verify it is fetched")
        return []
    found = damages = fetch.damages(need)
    if not damages:
        OUT.print(f"{need.model}: every file is as it was fetched")
    for user in need.users:
        verdict = published.judge(replace(user, bundles=need.bundles), is_here=not damages)
        OUT.print(f"classifier {user.name}: {verdict.said}")
        found = [*found, *(f"classifier {user.name}: {failure}" for failure in verdict.failures)]
    return found


if __name__ == "__main__":
    end_with(main, "Stopped. Nothing half-finished was kept; the same command starts again.")

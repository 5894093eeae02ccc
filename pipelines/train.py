"""Train a classifier: one config in, one directory out that a run's config can name.

python pipelines/train.py CONFIG.toml [key=value …] [--plan]
"""

import argparse
import sys

from rich.console import Console

from curation import config
from curation.core.errors import CurationError
from curation.training.train import KINDS, TrainingSpec, plan, train

MISTAKE = 2


def main() -> int:
    """Parse, plan, train, say. Gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a TOML file, such as configs/train_educational_value.toml")
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="settings that replace those of the config"
    )
    parser.add_argument("--plan", action="store_true", help="check everything, say what would be done, stop")
    arguments = parser.parse_intermixed_args()
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    try:
        spec = config.parse(TrainingSpec, config.load(arguments.config), arguments.overrides, KINDS)
        planned = plan(spec)
        console.print(str(planned))
        if not arguments.plan:
            console.print(f"Trained: {train(planned, console.print)}")
    except CurationError as error:
        Console(stderr=True, soft_wrap=True, markup=False, emoji=False).print(str(error), style="red", highlight=False)
        return MISTAKE
    return 0


if __name__ == "__main__":
    sys.exit(main())

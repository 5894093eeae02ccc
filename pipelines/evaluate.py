"""Say how far to trust classifiers: one config in, one directory out, with scores, figures and a report.

python pipelines/evaluate.py CONFIG.toml [key=value …] [--plan]
"""

import argparse
import sys

from rich.console import Console

from curation import config
from curation.core.errors import CurationError
from curation.training.evaluate import KINDS, EvaluationSpec, evaluate, plan

MISTAKE, STOPPED = 2, 75


def main() -> int:
    """Parse, plan, evaluate, say. Gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a TOML file, such as configs/evaluate_embedded.toml")
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="settings that replace those of the config"
    )
    parser.add_argument("--plan", action="store_true", help="check everything, say what would be done, stop")
    arguments = parser.parse_intermixed_args()
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    try:
        spec = config.parse(EvaluationSpec, config.load(arguments.config), arguments.overrides, KINDS)
        planned = plan(spec)
        console.print(str(planned))
        if not arguments.plan:
            console.print(f"Report: {evaluate(planned, console.print)}")
    except CurationError as error:
        Console(stderr=True, soft_wrap=True, markup=False, emoji=False).print(str(error), style="red", highlight=False)
        return MISTAKE
    except KeyboardInterrupt:
        console.print("Stopped; what was scored is kept. Run the same command again to go on.")
        return STOPPED
    return 0


if __name__ == "__main__":
    sys.exit(main())

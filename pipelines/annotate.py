"""Have documents judged by language models: a sample, a rubric, an endpoint → labels to train a classifier on.

python pipelines/annotate.py CONFIG.toml [key=value …] [--plan]
"""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from curation import config
from curation.annotation.annotate import STOPPED, annotate
from curation.annotation.plan import AnnotationSpec, plan
from curation.core.errors import CurationError
from curation.execution import lock

MISTAKE = 2


def main() -> int:
    """Parse, plan, annotate, say. Gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a TOML file, such as configs/annotate_fineweb_edu.toml, or a run's config.json")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that replace those of the config")
    parser.add_argument("--plan", action="store_true", help="say what would be asked and what it may cost, and stop")
    arguments = parser.parse_intermixed_args()
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    try:
        planned = plan(config.parse(AnnotationSpec, config.load(arguments.config), arguments.overrides))
        console.print(str(planned))
        if arguments.plan:
            return 0
        with ExitStack() as stack:
            folders = {
                str(Path(path).absolute()) for path in (planned.spec.output, Path(planned.spec.replies_path).parent)
            }
            for folder in sorted(folders):
                stack.enter_context(lock.hold(f"{folder}/lock.json"))
            return annotate(planned, console)
    except CurationError as error:
        Console(stderr=True, soft_wrap=True, markup=False, emoji=False).print(str(error), style="red", highlight=False)
        return MISTAKE
    except KeyboardInterrupt:
        console.print("Stopped; start the same command again to go on.")
        return STOPPED


if __name__ == "__main__":
    sys.exit(main())

"""Score documents with every classifier of a config in one pass, calibrate, take the ensemble, name the tiers.

python pipelines/run_ensemble.py [CONFIG.toml] [key=value …] [--plan] [--prune]
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from rich.console import Console

from curation.core.errors import CurationError
from curation.execution import job, lock, spec
from curation.execution.plan import make_plan
from curation.execution.run import MISTAKE, STOPPED, run

EMBEDDED = Path(__file__).parent.parent / "configs" / "embedded.toml"


def main() -> int:
    """Parse, plan, run, say. Gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", help="a TOML file, or the config.json of a run; default: the embedded one")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that replace those of the config")
    parser.add_argument("--plan", action="store_true", help="check everything that needs no worker, print it, stop")
    parser.add_argument("--prune", action="store_true", help="delete outputs that no shard or classifier accounts for")
    arguments = parser.parse_intermixed_args()
    if arguments.config and "=" in arguments.config:
        arguments.config, arguments.overrides = None, [arguments.config, *arguments.overrides]
    console = Console(soft_wrap=True, emoji=False)
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.default_int_handler)
    try:
        if started := job.started(os.environ):
            console.print(started, highlight=False)
        settings = spec.read(arguments.config or EMBEDDED, arguments.overrides)
        plan = make_plan(settings)
        plan.say(console)
        if arguments.plan:
            return 0
        with lock.hold(plan.layout.lock_json):
            return run(plan, console, prune=arguments.prune)
    except CurationError as error:
        Console(stderr=True, emoji=False).print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        return MISTAKE
    except KeyboardInterrupt:  # the second Ctrl-C, or one while planning
        console.print(f"Stopped at once; what was finished is kept. {job.how_it_goes_on(os.environ)}", highlight=False)
        return STOPPED


if __name__ == "__main__":
    sys.exit(main())

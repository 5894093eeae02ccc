"""Score documents with every classifier of a config in one pass, calibrate, take the ensemble, name the tiers.

python pipelines/run_ensemble.py [CONFIG.toml] [key=value …] [--plan] [--prune]
"""

import os
from pathlib import Path

from command_line import OUT, STOPPED, end_with, parser

from curation.analysis.report.write import after_a_run
from curation.execution import job, lock, spec
from curation.execution.plan import make_plan
from curation.execution.run import run

EMBEDDED = Path(__file__).parent.parent / "configs" / "embedded.toml"


def main() -> int:
    """Parse, plan, run, say. Gives the exit code."""
    options = parser(__doc__, "a TOML file, or the config.json of a run; default: the embedded one", optional=True)
    options.add_argument("--plan", action="store_true", help="check everything that needs no worker, print it, stop")
    options.add_argument("--prune", action="store_true", help="delete outputs that no shard or classifier accounts for")
    arguments = options.parse_intermixed_args()
    if arguments.config and "=" in arguments.config and not Path(arguments.config).is_file():
        arguments.config, arguments.overrides = None, [arguments.config, *arguments.overrides]
    if started := job.started(os.environ):
        OUT.print(started)
    plan = make_plan(spec.read(arguments.config or EMBEDDED, arguments.overrides))
    plan.say(OUT)
    if arguments.plan:
        return 0
    with lock.hold(plan.layout.lock_json):
        code = run(plan, OUT, prune=arguments.prune)
        for line in after_a_run(plan.layout.root, was_stopped=code == STOPPED):
            OUT.print(line)
    return code


if __name__ == "__main__":  # stopped so: by the second Ctrl-C, or while planning
    end_with(main, f"Stopped at once; what was finished is kept. {job.how_it_goes_on(os.environ)}")

"""Form other opinions about the scores of a run: a named tiering beside its own. Reads no text and loads no model.

python pipelines/retier.py CONFIG.toml [key=value …] [--plan]
"""

from command_line import OUT, end_with, parser

from curation import config
from curation.execution import lock
from curation.execution.retier import RetierSpec, plan, retier


def main() -> int:
    """Parse, plan, form, say. Gives the exit code."""
    options = parser(__doc__, "a TOML file, such as configs/retier.toml")
    options.add_argument("--plan", action="store_true", help="check everything that needs no worker, print it, stop")
    arguments = options.parse_intermixed_args()
    planned = plan(config.parse(RetierSpec, config.load(arguments.config), arguments.overrides))
    for line in planned.lines():
        OUT.print(line)
    if arguments.plan:
        return 0
    with lock.hold(planned.tiering.layout.lock_json):
        return retier(planned, OUT)


if __name__ == "__main__":
    end_with(main, "Stopped at once; what was finished is kept. The same command goes on.")

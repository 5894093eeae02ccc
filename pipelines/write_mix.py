"""Write the documents of a planned mix as Parquet, a folder for every phase. Goes on where it was stopped.

python pipelines/write_mix.py CONFIG.toml [key=value …] [--plan]
"""

from command_line import OUT, end_with, parser

from curation import config
from curation.data.layout import Layout
from curation.execution import lock
from curation.mixing.spec import MixSpec
from curation.mixing.write import plan, write


def main() -> int:
    """Parse, plan, write, say. Gives the exit code."""
    options = parser(__doc__, "the file that plan_mix.py was given, or the config.json that it wrote")
    options.add_argument("--plan", action="store_true", help="check everything that needs no worker, print it, stop")
    arguments = options.parse_intermixed_args()
    planned = plan(config.parse(MixSpec, config.load(arguments.config), arguments.overrides))
    for line in planned.lines():
        OUT.print(line)
    if arguments.plan:
        return 0
    with lock.hold(Layout(planned.spec.output).lock_json):
        return write(planned, OUT)


if __name__ == "__main__":
    end_with(main, "Stopped at once; what was finished is kept. The same command goes on.")

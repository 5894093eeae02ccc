"""Have documents judged by language models: a sample, a rubric, an endpoint → labels to train a classifier on.

python pipelines/annotate.py CONFIG.toml [key=value …] [--plan]
"""

from contextlib import ExitStack
from pathlib import Path

from command_line import OUT, end_with, parser

from curation import config
from curation.annotation.annotate import annotate
from curation.annotation.plan import AnnotationSpec, plan
from curation.execution import lock


def main() -> int:
    """Parse, plan, annotate, say. Gives the exit code."""
    options = parser(__doc__, "a TOML file, such as configs/annotate_fineweb_edu.toml, or a run's config.json")
    options.add_argument("--plan", action="store_true", help="say what would be asked and what it may cost, and stop")
    arguments = options.parse_intermixed_args()
    planned = plan(config.parse(AnnotationSpec, config.load(arguments.config), arguments.overrides))
    OUT.print(str(planned))
    if arguments.plan:
        return 0
    folders = {Path(planned.spec.output), Path(planned.spec.replies).parent}
    with ExitStack() as stack:
        for folder in sorted(folders):
            stack.enter_context(lock.hold(f"{folder}/lock.json"))
        return annotate(planned, OUT)


if __name__ == "__main__":
    end_with(main, "Stopped; start the same command again to go on.")

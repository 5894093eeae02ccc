"""Say how far to trust classifiers: one config in, one directory out, with scores, figures and a report.

python pipelines/evaluate.py CONFIG.toml [key=value …] [--plan]
"""

from command_line import OUT, end_with, parser

from curation import config
from curation.evaluation.evaluate import CATALOGS, KINDS, EvaluationSpec, evaluate, plan


def main() -> int:
    """Parse, plan, evaluate, say. Gives the exit code."""
    options = parser(__doc__, "a TOML file, such as configs/evaluate_embedded.toml")
    options.add_argument("--plan", action="store_true", help="check everything, say what would be done, stop")
    arguments = options.parse_intermixed_args()
    planned = plan(config.parse(EvaluationSpec, config.load(arguments.config), arguments.overrides, KINDS, CATALOGS))
    OUT.print(str(planned))
    if not arguments.plan:
        OUT.print(f"Report: {evaluate(planned, OUT.print)}")
    return 0


if __name__ == "__main__":
    end_with(main, "Stopped; what was scored is kept. Run the same command again to go on.")

"""Write the report of a run again, from its files alone: of its own tiering, or of another one.

python pipelines/report.py RUN [tiering=NAME] [examples=false]
"""

from command_line import OUT, end_with, parser

from curation import config
from curation.analysis.report.write import ReportOf, write


def main() -> int:
    """Parse, write, say. Gives the exit code."""
    options = parser(__doc__, "the directory of a run")
    arguments = options.parse_intermixed_args()
    asked = config.parse(ReportOf, {"run": arguments.config}, arguments.overrides)
    OUT.print(f"Report: {write(asked.run, asked.tiering, with_examples=asked.examples)}")
    return 0


if __name__ == "__main__":
    end_with(main)

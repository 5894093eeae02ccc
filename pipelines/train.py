"""Train a classifier: one config in, one directory out that a run's config can name.

python pipelines/train.py CONFIG.toml [key=value …] [--plan]
"""

from command_line import OUT, end_with, parser

from curation import config
from curation.training.train import KINDS, TrainingSpec, plan, train


def main() -> int:
    """Parse, plan, train, say. Gives the exit code."""
    options = parser(__doc__, "a TOML file, such as configs/train_educational_value.toml")
    options.add_argument("--plan", action="store_true", help="check everything, say what would be done, stop")
    arguments = options.parse_intermixed_args()
    planned = plan(config.parse(TrainingSpec, config.load(arguments.config), arguments.overrides, KINDS))
    OUT.print(str(planned))
    if not arguments.plan:
        OUT.print(f"Trained: {train(planned, OUT.print)}")
    return 0


if __name__ == "__main__":
    end_with(main)

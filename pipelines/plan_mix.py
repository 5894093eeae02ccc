"""Plan a training mix: how many tokens of which tier and domain, how often, in which phase. Reads sidecars, no text.

python pipelines/plan_mix.py CONFIG.toml [key=value …] [--plan]
"""

from command_line import OUT, end_with, parser

from curation import config
from curation.data import storage
from curation.data.layout import Layout
from curation.execution import lock
from curation.mixing.folder import keep
from curation.mixing.plan import plan
from curation.mixing.spec import MixSpec


def main() -> int:
    """Parse, solve, say, keep. Gives the exit code."""
    options = parser(__doc__, "a TOML file, such as configs/mix_embedded.toml")
    options.add_argument("--plan", action="store_true", help="solve and print, and write nothing")
    arguments = options.parse_intermixed_args()
    planned = plan(config.parse(MixSpec, config.load(arguments.config), arguments.overrides))
    for line in planned.lines():
        OUT.print(line)
    if not arguments.plan:
        with lock.hold(Layout(storage.from_root(planned.spec.output)).lock_json):
            OUT.print(f"Written: {keep(planned)}")
    return 0


if __name__ == "__main__":
    end_with(main)

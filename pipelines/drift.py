"""Say what differs between two runs, two tierings or two sets of thresholds, and what of it is past a limit.

python pipelines/drift.py CONFIG.toml [key=value …] [--plan]
"""

import traceback

from command_line import OUT, end_with, parser

from curation import config
from curation.analysis.drift.compare import BROKEN, PAGE, DriftSpec, compare, exit_code, plan, told
from curation.core.errors import CurationError
from curation.data import storage


def main() -> int:
    """Parse, plan, compare, say. Gives the exit code: 1 when something is past a limit."""
    options = parser(__doc__, "a TOML file, such as configs/drift.toml")
    options.add_argument("--plan", action="store_true", help="read both sides, say what would be compared, stop")
    arguments = options.parse_intermixed_args()
    planned = plan(config.parse(DriftSpec, config.load(arguments.config), arguments.overrides))
    for line in planned.lines():
        OUT.print(line)
    if arguments.plan:
        return 0
    found = compare(planned)
    for line in told(found):
        OUT.print(line)
    OUT.print(f"Page: {storage.join(planned.spec.output, PAGE)}")
    return exit_code(found)


def guarded() -> int:
    """The same; 3, never the 1 that says drift, when it breaks off for a reason that nobody foresaw."""
    try:
        return main()
    except CurationError:
        raise
    except Exception:  # noqa: BLE001 - see above
        traceback.print_exc()
        return BROKEN


if __name__ == "__main__":
    end_with(guarded)

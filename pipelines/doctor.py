"""Look at the cluster of a config before a large run, and say what must be changed: under a minute, nothing is scored.

python pipelines/doctor.py CONFIG [key=value …]
"""

import argparse
import signal
import sys
import time
from collections import Counter

from rich.console import Console

from curation.core.errors import CurationError
from curation.execution import spec
from curation.execution.doctor.examine import examine

MISTAKE, STOPPED = 2, 75


def main() -> int:
    """Parse, examine, say. Gives the exit code: 0 when nothing must be changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a TOML file, or the config.json of a run")
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="settings that replace those of the config"
    )
    arguments = parser.parse_intermixed_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    out, err = (
        Console(stderr=stderr, soft_wrap=True, highlight=False, markup=False, emoji=False) for stderr in (False, True)
    )
    start = time.monotonic()
    levels: Counter[str] = Counter()
    try:
        for check in examine(spec.read(arguments.config, arguments.overrides)):
            out.print(check.title, style="bold")
            for finding in check.findings:
                out.print(f"  {finding.level}: {finding.text}", style="red" if finding.level == "change" else None)
            levels.update(finding.level for finding in check.findings)
    except CurationError as error:
        err.print(str(error), style="red")
        return MISTAKE
    except KeyboardInterrupt:
        err.print("Stopped.", style="red")
        return STOPPED
    seconds = time.monotonic() - start
    out.print(f"to change: {levels['change']}, notes: {levels['note']}, ok: {levels['ok']}, in {seconds:.1f} s")
    return MISTAKE if levels["change"] else 0


if __name__ == "__main__":
    sys.exit(main())

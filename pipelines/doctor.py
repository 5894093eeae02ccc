"""Look at the cluster of a config before a large run, and say what must be changed: under a minute, nothing is scored.

python pipelines/doctor.py CONFIG [key=value …]
"""

import time
from collections import Counter

from command_line import MISTAKE, OUT, end_with, parser

from curation.execution import spec
from curation.execution.doctor.examine import examine


def main() -> int:
    """Parse, examine, say. Gives the exit code: 0 when nothing must be changed."""
    arguments = parser(__doc__).parse_intermixed_args()
    start = time.monotonic()
    levels: Counter[str] = Counter()
    for check in examine(spec.read(arguments.config, arguments.overrides)):
        OUT.print(check.title, style="bold")
        for finding in check.findings:
            OUT.print(f"  {finding.level}: {finding.text}", style="red" if finding.level == "change" else None)
        levels.update(finding.level for finding in check.findings)
    seconds = time.monotonic() - start
    OUT.print(f"to change: {levels['change']}, notes: {levels['note']}, ok: {levels['ok']}, in {seconds:.1f} s")
    return MISTAKE if levels["change"] else 0


if __name__ == "__main__":
    end_with(main)

"""Draw documents of every tier for people to judge, and say how far they agree with the tiers.

python pipelines/audit.py CONFIG.toml [key=value …] [--plan]     writes the sheet
python pipelines/audit.py CONFIG.toml [key=value …] --agreement  reads it back, filled in
"""

import json

from command_line import OUT, end_with, parser

from curation import config
from curation.analysis.audit import agreement
from curation.analysis.audit.sheet import AuditSpec, draw, plan
from curation.data import storage


def main() -> int:
    """Parse, plan, draw or read back, say. Gives the exit code."""
    options = parser(__doc__, "a TOML file, such as configs/audit.toml")
    what = options.add_mutually_exclusive_group()
    what.add_argument("--plan", action="store_true", help="say what would be drawn, and write nothing")
    what.add_argument("--agreement", action="store_true", help="read the filled sheets back")
    arguments = options.parse_intermixed_args()
    spec = config.parse(AuditSpec, config.load(arguments.config), arguments.overrides)
    if arguments.agreement:
        found = agreement.agreement(spec)
        url = spec.url(agreement.AGREEMENT)
        storage.write_bytes(url, (json.dumps(found, indent=1, ensure_ascii=False) + "\n").encode())
        agreement.say(found, OUT)
        OUT.print(f"Written: {url}")
        return 0
    planned = plan(spec)
    for line in planned.lines():
        OUT.print(line)
    if not arguments.plan and not planned.is_there:
        OUT.print(f"Drawn: {draw(planned):,} documents. Write a tier into the column label of each.")
    return 0


if __name__ == "__main__":
    end_with(main)

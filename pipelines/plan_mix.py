"""Plan a training mix: how many tokens of which tier and domain, how often, in which phase. Reads sidecars, no text.

python pipelines/plan_mix.py CONFIG.toml [key=value …] [--plan]
"""

import json

from command_line import OUT, end_with, parser

from curation import config
from curation.data import storage
from curation.mixing import exports
from curation.mixing.plan import plan
from curation.mixing.spec import MixSpec


def main() -> int:
    """Parse, solve, say, write. Gives the exit code."""
    options = parser(__doc__, "a TOML file, such as configs/mix_nemotron_cc.toml")
    options.add_argument("--plan", action="store_true", help="solve and print, and write nothing")
    arguments = options.parse_intermixed_args()
    spec = config.parse(MixSpec, config.load(arguments.config), arguments.overrides)
    planned = plan(spec)
    for line in planned.lines():
        OUT.print(line)
    if not arguments.plan:
        texts = {"plan.json": json.dumps(planned.to_json(), indent=1, ensure_ascii=False) + "\n"}
        for name, text in (texts | dict(exports.files(planned))).items():
            storage.write_bytes(storage.join(spec.output, name), text.encode())
        OUT.print(f"Written: {spec.output}")
    return 0


if __name__ == "__main__":
    end_with(main)

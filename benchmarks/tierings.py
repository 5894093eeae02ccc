"""New opinions over old scores: calibrate and tier every row of a run again. Prints JSON.

Writes short documents, scores them with the packaged fastText model, then runs the same command with other weights: no
text is read and no model is loaded for that.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SCRIPT = Path(__file__).parents[1] / "pipelines" / "run_ensemble.py"
WORDS = ("the", "river", "mill", "price", "now", "water", "school", "buy", "number", "light", "click", "law")


def write_documents(folder: Path, num_files: int, num_rows: int) -> None:
    """JSON Lines of a few drawn words each."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    for number in range(num_files):
        words = draw.choice(WORDS, (num_rows, 4))
        lines = (json.dumps({"id": f"{number}-{row}", "text": " ".join(each)}) for row, each in enumerate(words))
        (folder / f"part-{number:03}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def command(config: Path, *overrides: str) -> float:
    """Seconds of a whole run, from the shell."""
    start = time.perf_counter()
    subprocess.run([sys.executable, str(SCRIPT), str(config), *overrides], check=True, capture_output=True)
    return time.perf_counter() - start


def measure(num_files: int, num_rows: int) -> dict[str, Any]:
    """Seconds of scoring, of the same command again, and with other weights."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_documents(root / "documents", num_files, num_rows)
        config = root / "config.json"
        classifier = {"kind": "fasttext", "name": "keep", "model": "embedded:models/worth-keeping"}
        tables = {
            "output": str(root / "run"),
            "input": {"path": str(root / "documents")},
            "classifier": [classifier | {"label": "__label__keep"}],
            "cluster": {"workers": 2},
        }
        config.write_text(json.dumps(tables), encoding="utf-8")
        scored_s = command(config)
        nothing_s = command(config)
        retier_s = command(config, "tiering.weights=documents")
        total = num_files * num_rows
        return {
            "num_rows": total,
            "num_files": num_files,
            "scoring_s": round(scored_s, 2),
            "nothing_to_do_s": round(nothing_s, 2),
            "retier_s": round(retier_s, 2),
            "rows_per_s": round(total / retier_s),
            "rows_per_s_without_start": round(total / max(retier_s - nothing_s, 1e-9)),
        }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-files", type=int, default=20)
    parser.add_argument("--num-rows", type=int, default=100_000)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.num_files, arguments.num_rows), indent=1))


if __name__ == "__main__":
    main()

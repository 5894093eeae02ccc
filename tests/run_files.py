"""What runs of tests are made of, such runs in this process or another, and what lies in their directories."""

import json
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from rich.console import Console
from safetensors.numpy import load_file, save_file

from curation import classifiers, config
from curation.execution import spec
from curation.execution.plan import make_plan
from curation.execution.run import run

REPOSITORY = Path(__file__).parents[1]
SCRIPT = REPOSITORY / "pipelines" / "run_ensemble.py"

SENTENCES = (
    "Water boils at a lower temperature on a high mountain because the air presses less on its surface.",
    "Buy now and save on every pair of shoes in the summer sale!",
    "The committee meets on the first Tuesday of each month in the town hall.",
    "A prime number has exactly two divisors: one, and the number itself.",
    "Click here to log in. Forgot your password?",
    "My grandmother baked this cake every Sunday, with far too much butter.",
    "Photosynthesis turns light, water and carbon dioxide into sugar and oxygen.",
)


def change_weights(folder):
    """Make another model of the one in a folder, without a canary."""
    weights = load_file(folder / "model.safetensors")
    save_file({name: value * np.float32(1.5) for name, value in weights.items()}, folder / "model.safetensors")
    (folder / "canary.json").unlink()


def documents(num_documents, start=0):
    """Documents of one file: sentences in turn, repeated to different lengths."""
    for number in range(start, start + num_documents):
        sentence = SENTENCES[number % len(SENTENCES)]
        yield {
            "id": f"doc-{number}",
            "text": " ".join([sentence] * (1 + number % 5)),
            "url": f"https://{number % 9}.example/",
        }


def write_jsonl(path, rows):
    """A JSON Lines file of these rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def execute(tables, *overrides, prune=False):
    """Plan and run in this process; gives the exit code, what was printed, the plan and the run directory."""
    settings = config.parse(spec.RunSpec, tables, overrides, spec.KINDS)
    text = StringIO()
    console = Console(file=text, width=200)
    plan = make_plan(settings)
    plan.say(console)
    code = run(plan, console, prune=prune)
    return SimpleNamespace(code=code, text=text.getvalue(), plan=plan, folder=Path(settings.output))


def command(tables, path, *arguments):
    """The command line that runs these tables, written as a config file to `path`."""
    path.write_text(json.dumps(tables))
    return [sys.executable, str(SCRIPT), str(path), *arguments]


def call(tables, path, *arguments):
    """Run the script to its end."""
    return subprocess.run(command(tables, path, *arguments), capture_output=True, text=True, check=False, timeout=300)


def wait_until(condition):
    """Wait for something that other processes bring about; fail after two minutes."""
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def tiny_classifiers(folder):
    """Tables of tiny classifiers by name: encoders, of which `other` has weights of its own, and fastText."""
    tables = {}
    for name, kind in (("edu", "encoder"), ("same", "encoder"), ("other", "encoder"), ("keep", "fasttext")):
        (folder / name).mkdir()
        tables[name] = config.dump(classifiers.kind(kind).tiny(folder / name)) | {"name": name}
    change_weights(folder / "other")
    return tables


def contents(folder):
    """Path → bytes of everything in a run directory that equal work makes equal."""
    kept = ("rows", "scores", "tierings", "documents", "quarantine")
    files = (path for top in kept for path in sorted((folder / top).rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}

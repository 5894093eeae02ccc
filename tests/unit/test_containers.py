"""The images, the compose file and the workflow, as far as they can be judged without an engine."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
IMAGES = sorted((REPOSITORY / "docker").glob("Dockerfile.*"))
CONTEXT = [line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")]


def instructions(image, word):
    """What stands after `word` in the lines of a Dockerfile, continued lines as one."""
    lines = re.sub(r"\\\n\s*", "", image.read_text()).splitlines()
    return [line.removeprefix(word).strip() for line in lines if line.startswith(f"{word} ")]


def judge(*command):
    """What a checker says that came with the test extra; nothing when it is content."""
    tool = Path(sys.executable).parent / command[0]
    result = subprocess.run([tool, *command[1:]], capture_output=True, text=True, check=False)
    return "" if result.returncode == 0 else result.stdout + result.stderr


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_hadolint_finds_nothing(image):
    assert judge("hadolint", image) == ""


def test_shellcheck_finds_nothing():
    assert judge("shellcheck", REPOSITORY / "docker" / "entrypoint.sh") == ""


@pytest.mark.parametrize(
    ("schema", "file"),
    [("vendor.compose-spec", "docker/compose.yaml"), ("vendor.github-workflows", ".github/workflows/ci.yml")],
)
def test_it_fits_its_schema(schema, file):
    assert judge("check-jsonschema", "--builtin-schema", schema, REPOSITORY / file) == ""


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_an_image_copies_what_its_context_holds(image):
    copied = {line.split()[0] for line in instructions(image, "COPY")}
    assert copied == {"configs", "docker/entrypoint.sh", "pipelines"}
    assert copied <= {name for name in CONTEXT if (REPOSITORY / name).exists()}


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_an_image_runs_as_a_numbered_user_who_is_not_root(image):
    assert re.fullmatch(r"1001(:1001)?", instructions(image, "USER")[-1])


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_whatever_an_image_installs_is_held_by_the_constraints(image):
    installs = [run for run in instructions(image, "RUN") if "pip install" in run]
    assert len(installs) == 2
    assert all("--constraint /source/constraints.txt" in run for run in installs)


def test_the_cuda_image_brings_the_release_of_rapids_that_the_extra_names():
    (base,) = instructions(REPOSITORY / "docker" / "Dockerfile.cuda", "FROM")
    release = re.fullmatch(r"rapidsai/base:(\d+\.\d+)-cuda13-py3\.\d+", base)[1]
    extra = PROJECT["optional-dependencies"]["cuda13"]
    assert {f"cudf-cu13=={release}.*", f"dask-cuda[cu13]=={release}.*"} <= set(extra)


@pytest.mark.parametrize("file", ["docker/Dockerfile.cpu", "docker/Dockerfile.cuda", "docker/compose.yaml"])
def test_tags_carry_the_version(file):
    tags = re.findall(r"curation:([\w.]+)-\w+", (REPOSITORY / file).read_text())
    assert set(tags) == {PROJECT["version"]}


@pytest.mark.long
def test_the_cpu_image_s_install_steps_make_an_environment_that_runs_the_demo(tmp_path):
    source = tmp_path / "source"
    for name in CONTEXT:
        here, there = REPOSITORY / name, source / name
        there.parent.mkdir(parents=True, exist_ok=True)
        if here.is_dir():
            shutil.copytree(here, there, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(here, there)
    venv.create(tmp_path / "venv", with_pip=True)
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environ |= {"PATH": f"{tmp_path}/venv/bin:{os.environ['PATH']}", "CURATION_HOME": str(source)}
    environ |= {"TORCH_INDEX": os.environ.get("TORCH_INDEX", "")}
    shell = ["bash", "-o", "errexit", "-o", "nounset", "-c"]
    for step in instructions(REPOSITORY / "docker" / "Dockerfile.cpu", "RUN"):
        if "pip install" in step:
            command = re.sub(r"--mount=\S+\s*", "", step).replace("/source", str(source))
            subprocess.run([*shell, command], env=environ, cwd=tmp_path, check=True)
    driver = subprocess.run(
        [source / "docker" / "entrypoint.sh", "driver"],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (driver.returncode, "rows: 182 read" in driver.stdout) == (0, True), driver.stdout + driver.stderr

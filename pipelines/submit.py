"""Submit a run to Slurm: one allocation, or a driver job and an array of worker jobs.

python pipelines/submit.py CONFIG [key=value …] [--partition P] [--nodes N] [--time T] [--array] [--dry-run]
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from curation.core.errors import ClusterError, CurationError
from curation.data import storage
from curation.execution import spec
from curation.execution.cluster import jobs
from curation.execution.cluster.slurm import SlurmSpec
from curation.execution.plan import make_plan

MISTAKE = 2
ANSWER_S = 5
PLACE = jobs.Place(sys.executable, str(Path(__file__).resolve().parents[1]), str(Path.cwd()))


def main() -> int:
    """Parse, plan, render, submit, say. Gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a TOML file, or the config.json of a run")
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="settings that replace those of the config"
    )
    parser.add_argument("--partition", help="short for cluster.slurm.partition=…; [cluster.slurm] has more")
    parser.add_argument("--nodes", type=int, help="short for cluster.slurm.nodes=…")
    parser.add_argument("--time", help="short for cluster.slurm.time=…, as Slurm writes it: 4:00:00")
    parser.add_argument("--array", action="store_true", help="workers as an array of jobs, which come and go")
    parser.add_argument("--folder", default="", help="for scripts and logs, on a shared disk; default: OUTPUT-slurm")
    parser.add_argument("--dry-run", action="store_true", help="print the scripts, submit nothing")
    arguments = parser.parse_intermixed_args()
    given = {"partition": arguments.partition, "nodes": arguments.nodes, "time": arguments.time}
    short = [f"cluster.slurm.{key}={json.dumps(value)}" for key, value in given.items() if value is not None]
    out, err = (
        Console(stderr=stderr, soft_wrap=True, highlight=False, markup=False, emoji=False) for stderr in (False, True)
    )
    try:
        settings = spec.read(arguments.config, [*arguments.overrides, *short])
        job = jobs.submission(settings, arguments.folder, PLACE)
        plan = make_plan(job.planned, job.mistakes())
        files = jobs.render(job, array=arguments.array)
        err.print("".join(f"note: {note}\n" for note in (*job.notes, *without_pyxis(job.slurm))), end="")
        if arguments.dry_run:
            sys.stdout.write("\n".join(f"# {job.folder}/{name}\n{text}" for name, text in files.items()))
        else:
            plan.say(out)
            out.print(f"submitted: job {submit(job.folder, files)}; scripts and logs are in {job.folder}")
    except CurationError as error:
        err.print(str(error), style="red")
        return MISTAKE
    return 0


def without_pyxis(slurm: SlurmSpec) -> list[str]:
    """What to say where srun knows no containers, and the job has one; nothing where srun gives no answer."""
    srun = shutil.which("srun")
    if not srun or not slurm.container or slurm.runtime != "pyxis":
        return []
    try:
        done = subprocess.run([srun, "--help"], capture_output=True, text=True, check=True, timeout=ANSWER_S)
    except (OSError, subprocess.SubprocessError):
        return []
    if "--container-image" in done.stdout:
        return []
    return [
        "cluster.slurm.runtime: srun here has no --container-image, which pyxis adds; is it installed on the nodes?"
    ]


def submit(folder: str, files: dict[str, str]) -> str:
    """Write the files and submit the driver; gives the number of the job."""
    with storage.explaining(folder, "written"):
        Path(folder).mkdir(parents=True)
        for name, text in files.items():
            Path(folder, name).write_text(text, encoding="utf-8")
    command = ["sbatch", "--parsable", str(Path(folder, jobs.DRIVER))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise ClusterError(
            "sbatch: there is no Slurm here; run this on a login node, or look with --dry-run."
        ) from None
    except subprocess.CalledProcessError as error:
        raise ClusterError(f"{' '.join(command)}: {error.stderr.strip()}. Correct [cluster.slurm].") from None
    return done.stdout.strip().partition(";")[0]


if __name__ == "__main__":
    sys.exit(main())

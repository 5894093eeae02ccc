"""Submit a run to Slurm: one allocation, or a driver job and an array of worker jobs.

python pipelines/submit.py CONFIG [key=value …] [--partition P] [--nodes N] [--time T] [--array] [--dry-run]
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from command_line import ERR, OUT, end_with, parser

from curation.core.errors import ClusterError
from curation.data.explaining import explaining
from curation.execution import spec
from curation.execution.cluster import jobs
from curation.execution.cluster.slurm import SlurmSpec
from curation.execution.plan import make_plan

ANSWER_S = 5
PLACE = jobs.Place(sys.executable, str(Path(__file__).resolve().parents[1]), str(Path.cwd()))


def main() -> int:
    """Parse, plan, render, submit, say. Gives the exit code."""
    options = parser(__doc__)
    options.add_argument("--partition", help="short for cluster.slurm.partition=…; [cluster.slurm] has more")
    options.add_argument("--nodes", type=int, help="short for cluster.slurm.nodes=…")
    options.add_argument("--time", help="short for cluster.slurm.time=…, as Slurm writes it: 4:00:00")
    options.add_argument("--array", action="store_true", help="workers as an array of jobs, which come and go")
    options.add_argument("--folder", default="", help="for scripts and logs, on a shared disk; default: OUTPUT-slurm")
    options.add_argument("--dry-run", action="store_true", help="print the scripts, submit nothing")
    arguments = options.parse_intermixed_args()
    given = {"partition": arguments.partition, "nodes": arguments.nodes, "time": arguments.time}
    short = [f"cluster.slurm.{key}={json.dumps(value)}" for key, value in given.items() if value is not None]
    job = jobs.submission(spec.read(arguments.config, [*arguments.overrides, *short]), arguments.folder, PLACE)
    plan = make_plan(job.planned, job.mistakes())
    files = jobs.render(job, array=arguments.array)
    ERR.print("".join(f"note: {note}\n" for note in (*job.notes, *without_pyxis(job.slurm))), end="")
    if arguments.dry_run:
        sys.stdout.write("\n".join(f"# {job.folder}/{name}\n{text}" for name, text in files.items()))
    else:
        plan.say(OUT)
        OUT.print(f"submitted: job {submit(job.folder, files)}; scripts and logs are in {job.folder}")
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
    if shutil.which("sbatch") is None:
        raise ClusterError("sbatch: there is no Slurm here; run this on a login node, or look with --dry-run.")
    with explaining(folder, "written"):
        Path(folder).mkdir(parents=True)
        for name, text in files.items():
            Path(folder, name).write_text(text, encoding="utf-8")
    command = ["sbatch", "--parsable", str(Path(folder, jobs.DRIVER))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except subprocess.CalledProcessError as error:
        raise ClusterError(f"{' '.join(command)}: {error.stderr.strip()}. Correct [cluster.slurm].") from None
    return done.stdout.strip().partition(";")[0]


if __name__ == "__main__":
    end_with(main)

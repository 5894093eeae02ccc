"""The Slurm job that this process is in, as its environment tells."""

import time
from collections.abc import Mapping

COMES_BACK = "CURATION_COMES_BACK"
"""Set in the jobs of pipelines/submit.py, which put themselves back into the queue when a run has stopped."""


def number(environ: Mapping[str, str]) -> str:
    """Its number as Slurm's commands take it, 77 or 77_3 of an array; "" outside of Slurm."""
    if "SLURM_ARRAY_JOB_ID" in environ:
        return f"{environ['SLURM_ARRAY_JOB_ID']}_{environ['SLURM_ARRAY_TASK_ID']}"
    return environ.get("SLURM_JOB_ID", "")


def started(environ: Mapping[str, str]) -> str:
    """When this is, in which job and for the how manieth time, for a log that several starts share; "" outside."""
    if not (job := number(environ)):
        return ""
    again = int(environ.get("SLURM_RESTART_COUNT") or 0)
    which = f", start {again + 1}" if again else ""
    return f"{time.strftime('%Y-%m-%d %H:%M:%S %z')}: Slurm's job {job}{which}"


def how_it_goes_on(environ: Mapping[str, str]) -> str:
    """What has to be done for a run that has stopped to go on."""
    if COMES_BACK in environ:
        return f"Slurm starts job {number(environ)} again after a while, which goes on, unless it was cancelled."
    return "Run the same command again to go on."

"""The jobs that ``kind = "slurm"`` asks for through dask-jobqueue, which by itself would lose what a refusal says."""

import asyncio
import logging
from contextlib import suppress
from functools import cache

from dask_jobqueue.slurm import SLURMJob
from distributed import Status

from curation.core.errors import ClusterError

_ANSWER_S = 60.0
_SOON_AGAIN_S, _AGAIN_S = 5.0, 60.0
_warn = cache(logging.getLogger("curation").warning)  # a hundred jobs are refused for one reason


class Job(SLURMJob):  # type: ignore[misc]
    """A job of one worker. One that Slurm refuses counts as asked for, and is asked for again: soon, then every minute.

    `refusal` is what Slurm said to the last try, in words, "" when it took the job; `num_refused` counts such tries.
    """

    refusal = ""
    num_refused = 0
    _asking: "asyncio.Task[None] | None" = None

    async def start(self) -> None:
        """Ask for it."""
        await self._ask()
        if self.refusal:
            self._asking = asyncio.create_task(self._ask_again())
        self.status = Status.running  # the cluster gives up a job that it cannot start

    async def close(self) -> None:
        """Take it back."""
        if self._asking is not None:
            self._asking.cancel()
        await super().close()
        self.status = Status.closed

    async def _ask_again(self) -> None:
        await asyncio.sleep(_SOON_AGAIN_S)
        await self._ask()
        while self.refusal:
            await asyncio.sleep(_AGAIN_S)
            await self._ask()
            if self.refusal:
                _warn(f"{self.refusal} It is asked for again every {_AGAIN_S:.0f} s.")

    async def _ask(self) -> None:
        try:
            await super().start()
            self.refusal, self.num_refused = "", 0
        except (ClusterError, OSError) as error:
            self.refusal = (
                str(error)
                if isinstance(error, ClusterError)
                else f"A job cannot be written for sbatch ({error}). Make room where temporary files lie."
            )
            self.num_refused += 1

    async def _submit_job(self, script_filename: str) -> str:
        try:
            process = await asyncio.create_subprocess_exec(
                "sbatch",
                "--parsable",  # else one cannot tell the number of a job from those in the name of a cluster
                script_filename,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise ClusterError(
                f"sbatch cannot be run here ({error.strerror}). Run this on a login node of Slurm, or choose another "
                "cluster.kind."
            ) from None
        try:
            out, err = await asyncio.wait_for(process.communicate(), _ANSWER_S)
        except TimeoutError:
            raise ClusterError(
                f"sbatch does not end within {_ANSWER_S:.0f} s. Look whether slurmctld answers: `scontrol ping`."
            ) from None
        finally:
            if process.returncode is None:  # too late, or given up with the cluster
                with suppress(ProcessLookupError):
                    process.kill()
        if process.returncode:
            said = _in_one_line(err) or f"exit status {process.returncode}"
            raise ClusterError(f"Slurm refuses a job: {said}. If it is a setting, correct [cluster.slurm].")
        number = out.decode(errors="replace").strip().partition(";")[0]
        if not number.isdecimal():
            said = "; ".join(filter(None, map(_in_one_line, (out, err)))) or "nothing"
            raise ClusterError(
                f"sbatch --parsable says no number of a job, but {said!r}. Look what `type sbatch` is: a wrapper must "
                "pass its options on."
            )
        return number


def _in_one_line(said: bytes) -> str:
    return "; ".join(said.decode(errors="replace").split("\n")).strip("; ")

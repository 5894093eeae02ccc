"""The jobs that ``kind = "slurm"`` asks for through dask-jobqueue, which by itself would lose what a refusal says."""

import asyncio
import logging
from functools import cache

from dask_jobqueue.slurm import SLURMJob
from distributed import Status

from curation.core.errors import ClusterError

_AGAIN_S = 60.0
_warn = cache(logging.getLogger("curation").warning)  # a hundred jobs are refused for one reason


class Job(SLURMJob):  # type: ignore[misc]
    """A job of one worker. One that Slurm refuses counts as asked for, and is asked for again every minute.

    `refusal` is what Slurm said to the last try, in words, "" when it took the job.
    """

    refusal = ""
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
        while self.refusal:
            await asyncio.sleep(_AGAIN_S)
            await self._ask()
            if self.refusal:
                _warn(f"{self.refusal} It is asked for again every {_AGAIN_S:.0f} s.")

    async def _ask(self) -> None:
        try:
            await super().start()
            self.refusal = ""
        except ClusterError as error:
            self.refusal = str(error)

    async def _submit_job(self, script_filename: str) -> str:
        try:
            process = await asyncio.create_subprocess_exec(
                "sbatch", script_filename, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
        except OSError as error:
            raise ClusterError(
                f"sbatch cannot be run here ({error.strerror}). Run this on a login node of Slurm, or choose another "
                "cluster.kind."
            ) from None
        out, err = await process.communicate()
        if process.returncode:
            said = (
                "; ".join(err.decode(errors="replace").split("\n")).strip("; ") or f"exit status {process.returncode}"
            )
            raise ClusterError(f"Slurm refuses a job: {said}. Correct [cluster.slurm].")
        return out.decode()

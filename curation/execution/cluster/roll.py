"""Who works on a cluster: what each worker must be, whenever it comes."""

import logging
import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

from curation.core.errors import ClusterError
from curation.execution.cluster.gpus import own_gpu
from curation.execution.cluster.scheduler import lost_is_one_error, workers_of
from curation.inference.replica import AUTO

if TYPE_CHECKING:
    from distributed import Client

_ANSWER_S, _AGAIN_S = 5, 60
_FIRST_ANSWER_S = 20  # where nobody has answered and nothing can go on: drivers may sleep, imports be cold
_ASKED_AT_ONCE = 128
_warn = logging.getLogger("curation").warning


class Roll:
    """The workers of a cluster: each is looked at when it is new, for it may come at any time."""

    def __init__(self, client: "Client", device: str) -> None:
        self.client, self.device = client, device
        self.gpus: dict[str, str] = {}
        self.silent: dict[str, float] = {}  # who did not say, and when they were asked

    def call(self) -> None:
        """Look at those who are new; who does not answer is left out, told once, and asked again a minute later.

        Raises ClusterError where two tasks would share one replica, two workers one GPU, or GPUs would idle unasked,
        and when the scheduler is lost.
        """
        workers = workers_of(self.client)
        if several := sorted({each["nthreads"] for each in workers.values()} - {1}):
            raise ClusterError(
                f"Workers run {several[-1]} tasks at a time; one is right, as every task uses its worker's models by "
                "itself. Start them with --nthreads 1, and more of them."
            )
        self.gpus = {worker: uuid for worker, uuid in self.gpus.items() if worker in workers}
        self.silent = {worker: asked for worker, asked in self.silent.items() if worker in workers}
        if self.device != "cpu":
            self._ask([worker for worker in workers if worker not in self.gpus and self._is_due(worker)])
            self._check({worker: _called(worker, each["name"]) for worker, each in workers.items()})

    def _is_due(self, worker: str) -> bool:
        return time.monotonic() - self.silent.get(worker, -math.inf) >= _AGAIN_S

    def _ask(self, new: Sequence[str]) -> None:
        """Ask each for its GPU by itself, so that one that hangs holds up none of the others."""
        if not new:
            return
        answers = self._answers(new, _ANSWER_S)
        if not self.gpus and all(isinstance(answer, TimeoutError) for answer in answers.values()):
            answers = self._answers(new, _FIRST_ANSWER_S)
        silent = {worker: answer for worker, answer in answers.items() if isinstance(answer, Exception)}
        self.gpus |= {worker: answer for worker, answer in answers.items() if isinstance(answer, str)}
        if not self.gpus:
            raise ClusterError(
                f"None of {len(new):,} workers says which GPU it has; the first of them {_why(silent[new[0]])}. Look "
                "at their logs, end them, and start others."
            )
        for worker, error in silent.items():
            if worker not in self.silent:
                _warn(f"{worker} does not say which GPU it has: it {_why(error)}. End it if it stays so.")
        self.silent = {worker: asked for worker, asked in self.silent.items() if worker not in answers}
        self.silent |= dict.fromkeys(silent, time.monotonic())

    def _answers(self, workers: Sequence[str], timeout_s: float) -> dict[str, str | Exception]:
        with ThreadPoolExecutor(min(len(workers), _ASKED_AT_ONCE)) as pool:
            answers = pool.map(lambda worker: self._answer(worker, timeout_s), workers)
            return dict(zip(workers, answers, strict=True))

    def _answer(self, worker: str, timeout_s: float) -> str | Exception:
        with lost_is_one_error(self.client):
            try:
                answers = self.client.run(own_gpu, workers=[worker], on_error="return", callback_timeout=timeout_s)
            except TimeoutError as error:
                return error
        return cast("dict[str, str | Exception]", answers)[worker]

    def _check(self, names: Mapping[str, str]) -> None:
        owners = defaultdict(list)
        for worker, uuid in self.gpus.items():
            owners[uuid].append(names[worker])
        without = owners.pop("", [])
        if self.device == AUTO and owners:
            raise ClusterError(
                "The workers have GPUs; say whether they are used: scoring.device=cuda, or scoring.device=cpu."
            )
        if self.device != AUTO and without:
            raise ClusterError(
                f"Workers without a GPU: {', '.join(without)}. Start one for each GPU (dask cuda worker, or "
                'cluster.slurm.gpus = 1), or score with scoring.device = "cpu".'
            )
        for uuid, several in owners.items():
            if len(several) > 1:
                raise ClusterError(
                    f"{' and '.join(several)} share the GPU {uuid}; one worker for each GPU is right. Give each its "
                    "own CUDA_VISIBLE_DEVICES, or start fewer."
                )


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "gives no answer in time, as one that hangs or is very busy"
    return f"raises {type(error).__name__}: {error}"


def _called(worker: str, name: str) -> str:
    return worker if name == worker else f"{name} ({worker})"

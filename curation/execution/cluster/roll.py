"""Who works on a cluster: what each worker must be, whenever it comes."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from curation.core.errors import ClusterError
from curation.execution.cluster.gpus import own_gpu
from curation.inference.replica import AUTO

if TYPE_CHECKING:
    from distributed import Client

_ANSWER_S, _ANSWER_ALONE_S = 20, 5
_ASKED_AT_ONCE = 32
_warn = logging.getLogger("curation").warning


class Roll:
    """The workers of a cluster: each is looked at when it is new, for it may come at any time."""

    def __init__(self, client: "Client", device: str) -> None:
        self.client, self.device = client, device
        self.gpus: dict[str, str] = {}

    def call(self) -> None:
        """Look at those who are new.

        Raises ClusterError where two tasks would share one replica, two workers one GPU, or GPUs would idle unasked.
        """
        workers = self.client.scheduler_info(n_workers=-1)["workers"]
        if several := sorted({each["nthreads"] for each in workers.values()} - {1}):
            raise ClusterError(
                f"Workers run {several[-1]} tasks at a time; one is right, as every task uses its worker's models by "
                "itself. Start them with --nthreads 1, and more of them."
            )
        new = [worker for worker in workers if worker not in self.gpus]
        found = dict.fromkeys(new, "")
        if new and self.device != "cpu":
            found = self._ask(new)
        self.gpus = {worker: uuid for worker, uuid in self.gpus.items() if worker in workers} | found
        if self.device != "cpu":
            self._check({worker: _called(worker, each["name"]) for worker, each in workers.items()})

    def _ask(self, new: Sequence[str]) -> dict[str, str]:
        """The GPU of each; who does not answer in time is left out, and asked again the next time."""
        with suppress(TimeoutError):
            return self._answers(new, _ANSWER_S)
        found: dict[str, str] = {}
        with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
            for worker, answer in zip(new, pool.map(self._answer, new), strict=True):
                if answer is None:
                    _warn(f"{worker} does not say which GPU it has: it hangs, or is very busy. End it if it stays so.")
                else:
                    found |= answer
        if not found and not self.gpus:
            raise ClusterError(
                f"None of {len(new):,} workers answers within {_ANSWER_S} s. Look at their logs, end them, and start "
                "others."
            )
        return found

    def _answer(self, worker: str) -> dict[str, str] | None:
        try:
            return self._answers([worker], _ANSWER_ALONE_S)
        except TimeoutError:
            return None

    def _answers(self, workers: Sequence[str], timeout_s: float) -> dict[str, str]:
        answers = self.client.run(own_gpu, workers=list(workers), on_error="ignore", callback_timeout=timeout_s)
        return cast("dict[str, str]", answers)

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


def _called(worker: str, name: str) -> str:
    return worker if name == worker else f"{name} ({worker})"

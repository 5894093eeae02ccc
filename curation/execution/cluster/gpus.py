"""The GPUs that a process may use, seen through NVML: no CUDA context is made, and nothing of RAPIDS is imported."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec


@dataclass(frozen=True)
class Gpu:
    """One GPU; `uuid` is what NVML calls it, the same in every process of its host."""

    uuid: str
    name: str
    memory_bytes: int


def gpus(environ: Mapping[str, str] = os.environ) -> tuple[Gpu, ...]:
    """The GPUs that CUDA_VISIBLE_DEVICES shows, all if it is not set, in its order; none where there is no driver.

    As in CUDA, the first entry that names no GPU hides all after it. A MIG instance has the memory of its own.
    """
    with _nvml() as there:
        if not there:
            return ()
        import pynvml

        chosen = environ.get("CUDA_VISIBLE_DEVICES")
        count = pynvml.nvmlDeviceGetCount()
        entries = [str(number) for number in range(count)] if chosen is None else chosen.split(",")
        return tuple(_named(entries, count))


def why_no_cuda(environ: Mapping[str, str] = os.environ) -> str:
    """Why no cluster of GPUs can be started in this process; "" when one can."""
    if not gpus(environ):
        hidden = " that CUDA_VISIBLE_DEVICES shows" if "CUDA_VISIBLE_DEVICES" in environ else ""
        return f"NVML reports no GPU{hidden}"
    if find_spec("dask_cuda") is None:
        return "dask-cuda is not installed (pip install '.[cuda13]', or '.[cuda12]')"
    return ""


def own_gpu() -> str:
    """The UUID of the GPU that "cuda" means in this process; "" without one. Runs on a worker."""
    return next((gpu.uuid for gpu in gpus()), "")


@contextmanager
def _nvml() -> Iterator[bool]:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver, or no permission: no GPU to use
        yield False
        return
    try:
        yield True
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _named(entries: list[str], count: int) -> Iterator[Gpu]:
    import pynvml

    for entry in map(str.strip, entries):
        try:
            if entry.isdigit():
                if int(entry) >= count:
                    return
                handle = pynvml.nvmlDeviceGetHandleByIndex(int(entry))
            else:
                handle = pynvml.nvmlDeviceGetHandleByUUID(entry)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            yield Gpu(pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetName(handle), int(memory.total))
        except pynvml.NVMLError:
            return

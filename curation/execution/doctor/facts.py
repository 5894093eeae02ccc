"""What one process sees of itself and of its node. Nothing in here judges, and nothing knows Dask."""

import asyncio
import ipaddress
import json
import os
import platform
import resource
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

import curation
from curation.core.classifier import Classifier
from curation.core.errors import CurationError
from curation.data import storage

_PACKAGES: Mapping[str, tuple[str, ...]] = {
    "dask": ("dask",),
    "distributed": ("distributed",),
    "pandas": ("pandas",),
    "pyarrow": ("pyarrow",),
    "numpy": ("numpy",),
    "torch": ("torch",),
    "transformers": ("transformers",),
    "cudf": ("cudf", "cudf-cu12", "cudf-cu13"),
    "dask_cuda": ("dask-cuda", "dask-cuda-cu12", "dask-cuda-cu13"),
}
_LIMITS = {
    "open files": resource.RLIMIT_NOFILE,
    "processes": resource.RLIMIT_NPROC,
    "locked memory": resource.RLIMIT_MEMLOCK,
    "core size": resource.RLIMIT_CORE,
    "file size": resource.RLIMIT_FSIZE,
}
_CGROUPS = Path("/sys/fs/cgroup")
_UNKNOWN_SPEEDS = {0, 65535}  # what drivers of virtual interfaces say
_FIRST_BYTES = 4096
_TORCH = """
import json, torch
about = {"version": torch.__version__, "cuda": torch.version.cuda or "", "is_available": torch.cuda.is_available()}
if not about["is_available"]:
    try:
        torch.cuda.init()
    except Exception as error:
        about["reason"] = str(error)
print(json.dumps(about))
"""


@dataclass(frozen=True)
class Interface:
    """A network interface with its IPv4 and IPv6 addresses; `megabits` a second, 0 where it does not say."""

    name: str
    addresses: tuple[str, ...]
    is_up: bool
    megabits: int


@dataclass(frozen=True)
class Gpu:
    """A GPU as its driver tells; `others_bytes` is what processes other than this one hold of it."""

    index: int
    name: str
    uuid: str
    total_bytes: int
    free_bytes: int
    is_mig: bool
    others_bytes: int


@dataclass(frozen=True)
class Space:
    """The file system of a folder; `free_inodes` is None where it does not count them."""

    path: str
    total_bytes: int
    free_bytes: int
    free_inodes: int | None


@dataclass(frozen=True)
class Facts:
    """One process and its node.

    `folder` is the one that its relative paths start from, `source_address` where its packets to the peer start from,
    `memory_bytes` what the node and its control groups grant, `cpu_quota` the cores' worth of time that a control group
    grants (0: no quota), `scratch` the folder of temporary files, `limits` soft and hard (-1: none), `gpu_problem` why
    the driver of GPUs tells nothing, `visible` CUDA_VISIBLE_DEVICES if it is set.
    """

    host: str
    folder: str
    interfaces: tuple[Interface, ...]
    source_address: str
    cores: frozenset[int]
    cpu_quota: float
    memory_bytes: int
    shm: Space | None
    scratch: Space | None
    output: Space | None
    limits: Mapping[str, tuple[int, int]]
    versions: Mapping[str, str]
    driver: str
    gpus: tuple[Gpu, ...]
    gpu_problem: str
    visible: str | None
    is_offline: bool


@dataclass(frozen=True)
class Torch:
    """What torch says of itself in a process of its own; `reason` is why it sees no GPU, or cannot be imported."""

    version: str = ""
    cuda: str = ""
    is_available: bool = False
    reason: str = ""


def look(peer: str, output: str) -> Facts:
    """The facts of this process. `peer` is an address of the cluster to find the way to, `output` the run directory."""
    driver, gpus, gpu_problem = _gpus()
    return Facts(
        host=socket.gethostname(),
        folder=str(Path.cwd()),
        interfaces=interfaces(),
        source_address=source_address(peer),
        cores=frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset(_all_cores()),
        cpu_quota=cpu_quota(),
        memory_bytes=memory_bytes(),
        shm=space("/dev/shm"),  # noqa: S108 - looked at, not written to
        scratch=space(tempfile.gettempdir()),
        output=_space_of(output),
        limits={name: resource.getrlimit(number) for name, number in _LIMITS.items()},
        versions=versions(),
        driver=driver,
        gpus=gpus,
        gpu_problem=gpu_problem,
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
        is_offline=os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"},
    )


async def look_from_loop(peer: str, output: str) -> Facts:
    """The same from the event loop of a scheduler, which goes on meanwhile."""
    return await asyncio.to_thread(look, peer, output)


def _all_cores() -> range:
    return range(os.cpu_count() or 1)


def interfaces() -> tuple[Interface, ...]:
    """The network interfaces that have an address."""
    stats = psutil.net_if_stats()
    found = []
    for name, addresses in psutil.net_if_addrs().items():
        numbers = [each.address for each in addresses if each.family in {socket.AF_INET, socket.AF_INET6}]
        if numbers and name in stats:
            speed = stats[name].speed
            found.append(Interface(name, tuple(numbers), stats[name].isup, 0 if speed in _UNKNOWN_SPEEDS else speed))
    return tuple(found)


def host_and_port(address: str) -> tuple[str, int]:
    """Taken from an address such as ``tcp://[::1]:8786``; ("", 0) where it is none of a network."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdigit() else ("", 0)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host of that name or number."""
    with suppress(ValueError):
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    return host == "localhost"


def source_address(peer: str) -> str:
    """Our own address on the way to a peer; "" when there is no way. Nothing is sent."""
    host, port = host_and_port(peer)
    if not host:
        return ""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def space(path: str) -> Space | None:
    """The file system that a folder lies on; None when there is no such folder."""
    try:
        about = os.statvfs(path)
    except OSError:
        return None
    inodes = about.f_favail if about.f_files else None
    return Space(path, about.f_blocks * about.f_frsize, about.f_bavail * about.f_frsize, inodes)


def _space_of(output: str) -> Space | None:
    """The file system that a run directory lies on or will; None when it is not local, or nothing here can open it."""
    try:
        return space(str(storage.nearest(storage.filesystem(output)[1]))) if storage.is_local(output) else None
    except CurationError:
        return None


def memory_bytes(own: str | None = None, groups: Path = _CGROUPS) -> int:
    """The memory of this node, or what the control groups of this process leave of it."""
    names = ("memory.max", "memory.limit_in_bytes")
    limits = (int(text) for name in names for text in _cgroup(name, own, groups) if text.isdigit())
    return min(psutil.virtual_memory().total, *limits, sys.maxsize)


def cpu_quota(own: str | None = None, groups: Path = _CGROUPS) -> float:
    """How many cores' worth of time the control groups (version 2) of this process grant it; 0 for no quota."""
    quotas = [text.split() for text in _cgroup("cpu.max", own, groups)]
    shares = [int(quota) / int(period) for quota, period in quotas if quota.isdigit()]
    return min(shares, default=0.0)


def _cgroup(name: str, own: str | None, groups: Path) -> Iterator[str]:
    """What a file says in each control group of this process (`own`: as /proc/self/cgroup tells them) and above."""
    if own is None:
        try:
            own = Path("/proc/self/cgroup").read_text(encoding="ascii")
        except OSError:
            return
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        mounts = [groups / each for each in controllers.split(",")] if controllers else [groups, groups / "unified"]
        for mount in mounts:
            place = mount / path.lstrip("/")
            for folder in (place, *place.parents):
                with suppress(OSError):
                    yield (folder / name).read_text(encoding="ascii").strip()
                if folder == mount:
                    break


def versions() -> dict[str, str]:
    """Package → version, "" where it is not installed; our own says what its source hashes to."""
    found = {name: _version(distributions) for name, distributions in _PACKAGES.items()}
    return {"python": platform.python_version(), "curation": f"{curation.__version__} ({source_digest()})"} | found


def _version(distributions: Sequence[str]) -> str:
    for each in distributions:
        with suppress(metadata.PackageNotFoundError):
            return metadata.version(each)
    return ""


def source_digest() -> str:
    """Eight hexadecimal digits that are equal where the source of this package is."""
    folder = Path(curation.__file__).parent
    digest = sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:8]


def _gpus() -> tuple[str, tuple[Gpu, ...], str]:
    """The driver's version and the GPUs, and why there are none."""
    try:
        import pynvml
    except ImportError:
        return "", (), "nvidia-ml-py is not installed"
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return "", (), str(error)
    try:
        driver = str(pynvml.nvmlSystemGetDriverVersion())
        return driver, tuple(_gpu(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount())), ""
    except pynvml.NVMLError as error:
        return "", (), str(error)
    finally:
        pynvml.nvmlShutdown()


def _gpu(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    try:
        is_mig = nvml.nvmlDeviceGetMigMode(handle)[0] == 1
    except nvml.NVMLError:  # a GPU that knows no MIG
        is_mig = False
    try:
        processes = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except nvml.NVMLError:
        processes = []
    others = sum(each.usedGpuMemory or 0 for each in processes if each.pid != os.getpid())
    return Gpu(
        index=index,
        name=str(nvml.nvmlDeviceGetName(handle)),
        uuid=str(nvml.nvmlDeviceGetUUID(handle)),
        total_bytes=memory.total,
        free_bytes=memory.free,
        is_mig=is_mig,
        others_bytes=others,
    )


def torch_in_a_process(timeout_s: float) -> Torch:
    """What torch says, asked in a process that ends: the one that asks must not hold memory of a GPU for it."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _TORCH], capture_output=True, text=True, check=False, timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        return Torch(reason=f"importing it takes longer than {timeout_s:.0f} s")
    if done.returncode:
        return Torch(reason=(done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    return Torch(**json.loads(done.stdout.strip().splitlines()[-1]))


def fingerprints(classifiers: Sequence[Classifier]) -> dict[str, tuple[str, str]]:
    """Classifier → the fingerprint of the files that are found here, or "" and why they are not used."""
    found = {}
    for each in classifiers:
        try:
            found[each.name] = (each.fingerprint(), "")
        except CurationError as error:
            found[each.name] = ("", str(error))
    return found


def unreadable(urls: Sequence[str]) -> dict[str, str]:
    """The files whose first bytes cannot be read here, with the reason."""
    found = {}
    for url in urls:
        try:
            with storage.opened(url) as file:
                file.read(_FIRST_BYTES)
        except Exception as error:  # noqa: BLE001 - a remote file system fails in its own ways
            found[url] = str(error)
    return found

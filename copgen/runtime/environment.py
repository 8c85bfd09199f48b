"""The environment variables that copgen reads, all in this module.

NO_COLOR and TERM are handled by the terminal library, proxies by the standard library.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

from copgen.runtime.cgroup import cpu_quota
from copgen.runtime.errors import EnvironmentFault, UsageError


def debug_wanted() -> bool:
    """Whether COPGEN_DEBUG requests the traceback of an unexpected error."""
    return os.environ.get("COPGEN_DEBUG", "") not in ("", "0")


def native_forbidden() -> bool:
    """Whether COPGEN_NATIVE=0 forces the PyTorch reference."""
    return os.environ.get("COPGEN_NATIVE", "") == "0"


def cxx_compiler() -> str:
    """The program that compiles C++: that of CXX, or `c++`."""
    return (os.environ.get("CXX", "").split() or ["c++"])[0]


def weights_directory() -> Path | None:
    """The folder named by COPGEN_WEIGHTS, if set.

    Raises:
        EnvironmentFault: it begins with a home folder that is not known.
    """
    named = os.environ.get("COPGEN_WEIGHTS", "")
    return home_expanded(named) if named else None


def data_directory() -> Path | None:
    """The folder named by COPGEN_DATA, if set.

    Raises:
        EnvironmentFault: it begins with a home folder that is not known.
    """
    named = os.environ.get("COPGEN_DATA", "")
    return home_expanded(named, "set COPGEN_DATA to the folder of the datasets") if named else None


def user_cache() -> Path:
    """copgen's folder in the user's cache: $XDG_CACHE_HOME/copgen, or ~/.cache/copgen if that is not set.

    Raises:
        EnvironmentFault: neither is known.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says to ignore a relative path.
    base = Path(named) if named and Path(named).is_absolute() else home_expanded("~/.cache")
    return base / "copgen"


def home_expanded(path: str, otherwise: str = "set COPGEN_WEIGHTS to the weights directory") -> Path:
    """A path with the home folder in the place of `~`; containers may run as a user that has none.

    Raises:
        EnvironmentFault: there is no home folder, or no such user; an empty HOME would stand for the root folder.
    """
    try:
        if path.split("/")[0] == "~" and os.environ.get("HOME") == "":
            raise RuntimeError
        return Path(path).expanduser()
    except RuntimeError:
        raise EnvironmentFault(
            f"{path} cannot be found: there is no home folder (HOME is not set or empty, or there is no such user).",
            fix=f"Set HOME, or {otherwise}.",
        ) from None


def compiler_switched_off() -> str | None:
    """The name of the variable that disables torch.compile, if one is set."""
    names = ("TORCH_COMPILE_DISABLE", "TORCHDYNAMO_DISABLE")
    return next((name for name in names if os.environ.get(name) == "1"), None)


@dataclass(frozen=True)
class Placement:
    """The rank and local rank of this process, and the number of processes in all and on this machine."""

    rank: int = 0
    local_rank: int = 0
    world: int = 1
    local_world: int = 1


def cores() -> int:
    """The number of cores that this process may use: those of its affinity, or fewer by the limit of a container."""
    allowed, quota = len(os.sched_getaffinity(0)), cpu_quota()
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def own_cores() -> int:
    """This process's share of `cores`, at least 1: torchrun, --nproc and srun start several processes on a machine.

    torchrun binds none of them to cores; srun may, and then `cores` is less than the machine's and already a share.
    """
    if _number("RANK") is not None and (_number("WORLD_SIZE") or 1) > 1:
        return max(1, cores() // (_number("LOCAL_WORLD_SIZE") or 1))
    if _number("SLURM_PROCID") is None:
        return cores()
    allotted = _number("SLURM_CPUS_ON_NODE") or cores()
    return min(cores(), max(1, allotted // _tasks_here()))


def _tasks_here() -> int:
    """The tasks of this SLURM step on this machine; SLURM writes those of each node as "4(x2),3"."""
    known = os.environ.get("SLURM_STEP_TASKS_PER_NODE", "")
    groups = [re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", group) for group in known.split(",")]
    nodes = [int(group[1]) for group in groups if group for _ in range(int(group[2] or 1))]
    node = _number("SLURM_NODEID") or 0
    return max(1, nodes[node]) if node < len(nodes) else 1


def threads_are_set() -> bool:
    """Whether OMP_NUM_THREADS sets the number of CPU threads."""
    return "OMP_NUM_THREADS" in os.environ


def request_fixed_workspace() -> None:
    """Set CUBLAS_WORKSPACE_CONFIG, unless it is set: without it cuBLAS may add in another order in each run."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def worker_variables(*, threads: int) -> dict[str, str]:
    """The environment of a worker process with the given number of threads."""
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


def placement() -> Placement:
    """The placement from torchrun's RANK, LOCAL_RANK and their WORLD_SIZEs; a single process if they are not set.

    Raises:
        UsageError: one of them is not a whole number, or too large for the others.
    """
    world = _whole("WORLD_SIZE", 1)
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return Placement()
    rank = _whole("RANK", 0)
    _refuse_beyond("RANK", rank, "WORLD_SIZE", world)
    if world == 1:
        return Placement()
    local_rank = _whole("LOCAL_RANK", rank)
    local_world = _whole("LOCAL_WORLD_SIZE", local_rank + 1)
    _refuse_beyond("LOCAL_RANK", local_rank, "LOCAL_WORLD_SIZE", local_world)
    _refuse_beyond("LOCAL_WORLD_SIZE", local_world, "WORLD_SIZE", world + 1)
    return Placement(rank, local_rank, world, local_world)


def _refuse_beyond(name: str, value: int, bound_name: str, bound: int) -> None:
    """Refuse a variable that is not below its bound."""
    if value >= bound:
        raise UsageError(
            f"The variable {name} is {value}, but {bound_name} is {os.environ.get(bound_name, bound)}.",
            fix=f"Ranks count from 0; correct {name} or {bound_name}, or start the ranks with torchrun or --nproc.",
        )


def check_rendezvous() -> None:
    """Check MASTER_ADDR and MASTER_PORT, where the ranks of a placement meet.

    Raises:
        UsageError: one of them is not set, or is not a host or a port.
    """
    host, port = (os.environ.get(name, "").strip() for name in ("MASTER_ADDR", "MASTER_PORT"))
    is_port = port.isascii() and port.isdigit() and 0 < int(port[:6]) < 2**16
    for name, value, valid, what in (
        ("MASTER_ADDR", host, _is_host(host), "the host name or address of rank 0"),
        ("MASTER_PORT", port, is_port and len(port) <= 5, "a port from 1 to 65535"),
    ):
        if not valid:
            state = f"'{value}'" if value else "not set"
            error = UsageError(
                f"The variable {name} is {state}; ranks need {what}, the same on all of them.",
                fix=f"Set {name}, or start the ranks with torchrun or --nproc, which do.",
            )
            error.of_one_rank = True
            raise error


def _is_host(text: str) -> bool:
    """Whether a text can be a host name or an IP address."""
    try:
        return bool(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        return re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,252})", text) is not None


def _whole(name: str, default: int) -> int:
    """The integer value of one of torchrun's variables."""
    if name not in os.environ:
        return default
    if (number := _number(name)) is None:
        raise UsageError(
            f"The variable {name} is '{os.environ[name]}', not a whole number.",
            fix="torchrun sets it; unset it if this process was started without torchrun.",
        )
    return number


@dataclass(frozen=True)
class JobPlace:
    """This worker among the workers that a scheduler started.

    Attributes:
        index: its index, from 0.
        count: the number of workers; None if the scheduler does not say.
        local: its index on this machine.
        source: the scheduler whose variables were read.
    """

    index: int = 0
    count: int | None = 1
    local: int = 0
    source: str = ""


def job_place() -> JobPlace:
    """The worker's place from the variables of torchrun, SLURM, Kubernetes and SkyPilot; a single worker by default.

    A job may be one of several (an array, indexed or pool job) and start several processes itself.
    """
    outer, inner = _job_of_several(), _process_of_several()
    if not outer.source:
        return inner
    processes = inner.count or 1
    count = None if outer.count is None else outer.count * processes
    source = " and ".join(place.source for place in (outer, inner) if place.source)
    return JobPlace(outer.index * processes + inner.index, count, inner.local, source)


def _job_of_several() -> JobPlace:
    if (task := _number("SLURM_ARRAY_TASK_ID")) is not None:
        first, step = _number("SLURM_ARRAY_TASK_MIN") or 0, _number("SLURM_ARRAY_TASK_STEP") or 1
        count = _number("SLURM_ARRAY_TASK_COUNT")
        index = max(task - first, 0) // step
        return JobPlace(index % count if count else index, count or None, source="SLURM array")
    if (index_of_pod := _number("JOB_COMPLETION_INDEX")) is not None:
        return JobPlace(index_of_pod, None, source="Kubernetes")
    rank, jobs = _number("SKYPILOT_JOB_RANK"), _number("SKYPILOT_NUM_JOBS")
    if rank is not None and jobs and rank < jobs:
        return JobPlace(rank, jobs, source="SkyPilot")
    return JobPlace()


def _process_of_several() -> JobPlace:
    for source, index, count, local in (
        ("torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK"),
        ("srun", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    ):
        number, of = _number(index), _number(count)
        if number is not None and of is not None and number < of > 1:
            return JobPlace(number, of, _number(local) or 0, source)
    return JobPlace()


def _number(name: str) -> int | None:
    """The integer value of a variable; None if it is not set or not an integer."""
    text = os.environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None

"""The limits that a container, a service or a batch system sets with control groups, versions 1 and 2 (Linux).

A limit of a group holds for all groups in it. Inside a container, the root that is visible may itself be limited.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT, GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
UNLIMITED = 2**60  # bytes; version 1 writes a number near 2^63 for no limit


def cpu_quota() -> float | None:
    """How many cores this process may use on average; None without a limit."""
    found: list[float] = []
    for folder in _folders("cpu"):
        words = _words(folder / "cpu.max")  # 'max 100000' or '150000 100000', microseconds
        quota, period = words if len(words) == 2 else (None, None)
        if quota is None:
            quota, period = (next(iter(_words(folder / f"cpu.cfs_{name}_us")), None) for name in ("quota", "period"))
        if quota is not None and period is not None and quota.isdigit() and period.isdigit() and int(period) > 0:
            found.append(int(quota) / int(period))
    return min(found, default=None)


def memory_left() -> int | None:
    """How many bytes this process may still use, beside what can be reclaimed; None without a limit."""
    found: list[int] = []
    for folder in _folders("memory"):
        for limit, used, idle in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            most, now = (next(iter(_words(folder / name)), "") for name in (limit, used))
            if most.isdigit() and now.isdigit() and int(most) < UNLIMITED:
                words = _words(folder / "memory.stat")
                cached = int(words[words.index(idle) + 1]) if idle in words else 0
                found.append(max(0, int(most) - int(now) + cached))
    return min(found, default=None)


def _folders(controller: str) -> Iterator[Path]:
    """The folders of this process's group and of those above it, as far as they are visible."""
    for line in _text(GROUPS).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = ROOT / controllers if controllers else ROOT
        if not base.is_dir():
            base = ROOT / controller
        below = PurePosixPath(path).relative_to("/") if path.startswith("/") else PurePosixPath()
        for group in (below, *below.parents):
            if ".." not in group.parts and (base / group).is_dir():
                yield base / group


def _words(file: Path) -> list[str]:
    return _text(file).split()


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""

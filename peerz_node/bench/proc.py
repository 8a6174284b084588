"""CPU time and resident memory of a process and its children, read from /proc."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def family_of_pid(pid: int) -> tuple[int, ...]:
    """`pid` and all its descendants that are alive now."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (pid, *(member for child in children for member in family_of_pid(int(child))))


def cpu_s(pids: tuple[int, ...]) -> float:
    """User and system time that the processes have used since they started, in seconds."""
    total = 0
    for pid in pids:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(after_name[11]) + int(after_name[12])
    return total / _TICKS_PER_S


def resident_bytes(pids: tuple[int, ...]) -> int:
    """Memory of the processes, pages shared between them counted once (proportional set size)."""
    total_kib = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total_kib += int(line.split()[1])
    return total_kib * 1024

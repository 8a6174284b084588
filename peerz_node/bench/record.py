"""What a benchmark run leaves behind: figures with their raw values, and enough about the machine to judge them."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

LIMITS = (
    "One machine, loopback: no real network latency or loss.",
    "Providers and clients share the cores, so concurrent figures are lower bounds for separate machines.",
    "A shared virtual machine: repeat runs differ by 20 % and more; ratios within a run are steadier.",
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. `better` says which side of `target` is good; None for a figure without a target."""

    name: str
    value: float
    unit: str
    target: float | None = None
    better: Literal["lower", "higher"] = "lower"
    raw: tuple[float, ...] = ()
    note: str = ""

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.value <= self.target if self.better == "lower" else self.value >= self.target


def median_figure(name: str, raw: Sequence[float], unit: str, **rest: Any) -> Figure:
    """The figure whose value is the median of `raw`; `rest` are Figure's other fields."""
    return Figure(name, statistics.median(raw), unit, raw=tuple(round(value, 6) for value in raw), **rest)


@dataclass(frozen=True, slots=True)
class Record:
    """A run: `figures` in the order of measuring."""

    command: str
    figures: tuple[Figure, ...]
    commit: str = field(default_factory=lambda: _commit())
    date: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    machine: dict[str, str] = field(default_factory=lambda: _machine())
    limits: tuple[str, ...] = LIMITS

    def as_json(self) -> dict[str, Any]:
        """Plain data; each figure says whether its target was met."""
        data = asdict(self)
        for plain, figure in zip(data["figures"], self.figures, strict=True):
            plain["met"] = figure.met
        return data


def _commit() -> str:
    """The checkout's commit, with `+` when files differ from it; "" outside a checkout."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
        state = subprocess.run(["git", "status", "--porcelain"], cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + ("+" if state.stdout.strip() else "")


def _machine() -> dict[str, str]:
    cpu, flags = "", ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name") and not cpu:
            cpu = line.split(":", 1)[1].strip()
        if line.startswith("flags") and not flags:
            flags = " ".join(flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in line.split())
    return {
        "cpu": cpu,
        "instructions": flags,
        "cores": str(os.cpu_count()),
        "memory_gib": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        **{package: version(package) for package in ("torch", "transformers", "hivemind")},
    }

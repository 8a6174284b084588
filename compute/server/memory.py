"""How many blocks and how much cache fit into the memory at hand. Pure, apart from reading how much is free."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from compute.errors import BadRequest
from compute.types import Precision

OVERHEAD_BYTES = 600 << 20
"""A provider beyond weights and cache: the libraries, the daemon, activations of the largest batch."""

CACHE_SHARE = 0.25
"""Of the free memory, where nobody said how much the cache may take."""
CACHE_BYTES_MIN, CACHE_BYTES_MAX = 64 << 20, 16 << 30

MESSAGES_SHARE = 0.125
"""Of the free memory, for messages of all clients together."""

_HEADROOM = 0.9
"""Of what the system calls available: other programs grow too."""

# Bytes per weight of the large matrices, with scales. AUTO counts as the largest that it may choose.
_WEIGHT_BYTES = {
    Precision.AUTO: 4.0,
    Precision.FP32: 4.0,
    Precision.BF16: 2.0,
    Precision.INT8: 1.1,
    Precision.INT8_CPU: 1.1,
    Precision.NF4: 0.6,
}


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """`blocks_max` blocks fit beside a cache of `cache_bytes`."""

    blocks_max: int
    cache_bytes: int


def plan_memory(
    free_bytes: int, weights_per_block: int, precision: Precision, n_blocks: int, cache_bytes: int | None = None
) -> MemoryPlan:
    """Cache first (`cache_bytes`, or a share of what is free), then as many blocks as fit, at most `n_blocks`.

    Raises BadRequest when not even one block fits beside the cache.
    """
    usable = int(free_bytes * _HEADROOM) - OVERHEAD_BYTES
    cache = cache_bytes or min(CACHE_BYTES_MAX, max(CACHE_BYTES_MIN, int(usable * CACHE_SHARE)))
    block_bytes = max(1, int(weights_per_block * _WEIGHT_BYTES[precision]))
    fitting = (usable - cache) // block_bytes
    if fitting < 1:
        raise BadRequest(
            f"{_mib(free_bytes)} MiB are free: too little for one block of {_mib(block_bytes)} MiB beside a cache of "
            f"{_mib(cache)} MiB; choose a smaller --cache-bytes, another --precision, or --blocks by hand"
        )
    return MemoryPlan(min(n_blocks, fitting), cache)


def default_cache_bytes(free_bytes: int) -> int:
    """The cache where nobody said how much it may take, and the span's weights are in memory already."""
    return min(CACHE_BYTES_MAX, max(CACHE_BYTES_MIN, int((free_bytes * _HEADROOM - OVERHEAD_BYTES) * CACHE_SHARE)))


def read_free_bytes(device: torch.device) -> int:
    """Memory that can be taken on `device` without swapping."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return min(int(line.split()[1]) << 10, _read_cgroup_free_bytes())
    except (OSError, ValueError):
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _read_cgroup_free_bytes() -> int:
    """What the container still allows; more than any machine has where there is no limit."""
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        used = Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii").strip()
        return max(0, int(limit) - int(used)) if limit != "max" else 1 << 62
    except (OSError, ValueError):
        return 1 << 62


def _mib(n_bytes: int) -> int:
    return n_bytes >> 20

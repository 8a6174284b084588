"""What fits beside what."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compute.errors import BadRequest
from compute.server.memory import (
    CACHE_BYTES_MIN,
    OVERHEAD_BYTES,
    default_cache_bytes,
    plan_memory,
    read_free_bytes,
)
from compute.types import Precision

GIB = 1 << 30


@given(
    free_gib=st.floats(1, 512),
    weights=st.integers(10**5, 10**9),
    precision=st.sampled_from(Precision),
    n_blocks=st.integers(1, 128),
    cache_bytes=st.none() | st.integers(1, 64 * GIB),
)
def test_a_plan_fits_and_one_more_block_would_not(
    free_gib: float, weights: int, precision: Precision, n_blocks: int, cache_bytes: int | None
) -> None:
    free = int(free_gib * GIB)
    try:
        plan = plan_memory(free, weights, precision, n_blocks, cache_bytes)
    except BadRequest:
        return
    assert 1 <= plan.blocks_max <= n_blocks
    assert plan.cache_bytes == (cache_bytes or plan.cache_bytes)
    assert plan.cache_bytes >= min(CACHE_BYTES_MIN, cache_bytes or CACHE_BYTES_MIN)
    at_least = {Precision.NF4: 0.5, Precision.INT8: 1, Precision.INT8_CPU: 1, Precision.BF16: 2}.get(precision, 4)
    assert int(plan.blocks_max * weights * at_least) + plan.cache_bytes + OVERHEAD_BYTES <= free


def test_too_little_memory_says_what_to_change() -> None:
    with pytest.raises(BadRequest, match="choose a smaller --cache-bytes"):
        plan_memory(GIB, 10**9, Precision.FP32, 30)


def test_a_smaller_precision_holds_more_blocks() -> None:
    blocks = [plan_memory(16 * GIB, 200 * 10**6, p, 200).blocks_max for p in (Precision.FP32, Precision.BF16)]
    assert blocks[0] < blocks[1] < 2 * blocks[0] + 2


def test_the_default_cache_is_bounded_below() -> None:
    assert default_cache_bytes(0) == CACHE_BYTES_MIN


def test_free_memory_of_this_machine_is_a_positive_number() -> None:
    assert read_free_bytes(torch.device("cpu")) > 0

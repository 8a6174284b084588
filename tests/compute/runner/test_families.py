"""Every family: what our runner computes is what the whole stock model computes, block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from tiny_models import VARIANTS, tiny_model

from compute.models.span import LoadedSpan
from compute.runner.blocks import BatchRow, BlockRunner
from compute.runner.cache import LaneCache
from compute.runner.pool import CachePool
from compute.types import Span

TOLERANCE = 1e-5
"""Largest relative error of what a block adds to a token, fp32."""

LoadedOf = Callable[..., LoadedSpan]


def _hidden_states(variant: str, ids: torch.Tensor) -> list[torch.Tensor]:
    """Input of block 0, then the output of every block, `[tokens, width]` each; of the stock model."""
    model = tiny_model(variant)
    states: list[torch.Tensor] = []
    base = model.base_model
    blocks = base.h if hasattr(base, "h") else base.layers
    hooks = [
        block.register_forward_hook(lambda _m, args, kw, out: states.append((args[0], out)), with_kwargs=True)
        for block in blocks
    ]
    with torch.no_grad():
        model(input_ids=ids[None])
    for hook in hooks:
        hook.remove()
    outputs = [out[0] if isinstance(out, tuple) else out for _, out in states]
    return [states[0][0][0], *(out[0] for out in outputs)]


def _runner(loaded: LoadedSpan) -> tuple[BlockRunner, CachePool]:
    return BlockRunner(loaded), CachePool(1 << 30)


def _feed(runner: BlockRunner, span: Span, batch: Sequence[tuple[LaneCache, torch.Tensor]]) -> list[torch.Tensor]:
    for lane, hidden in batch:
        assert lane.reserve(lane.length, hidden.shape[0])
    outputs = runner.run(span, [BatchRow(lane, hidden) for lane, hidden in batch])
    for lane, hidden in batch:
        lane.commit(hidden.shape[0])
    return outputs


def _assert_close(got: torch.Tensor, expected: torch.Tensor, x: torch.Tensor) -> None:
    error = (got - expected).norm(dim=-1) / (expected - x).norm(dim=-1)
    assert error.max() < TOLERANCE


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_block_alone_equals_the_stock_model(variant: str, loaded_of: LoadedOf) -> None:
    ids = torch.randint(3, 97, (19,), generator=torch.Generator().manual_seed(1))
    states = _hidden_states(variant, ids)
    for number in range(4):
        span = Span(number, number + 1)
        runner, pool = _runner(loaded_of(variant, span))
        (out,) = _feed(runner, span, [(LaneCache(runner.shape, pool), states[number])])
        _assert_close(out, states[number + 1], states[number])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("chunks", [(19,), (7, 12), (1,) * 19, (9, 1, 1, 5, 3)], ids=str)
def test_prefill_chunks_and_decode_equal_one_whole_forward(
    variant: str, chunks: Sequence[int], loaded_of: LoadedOf
) -> None:
    ids = torch.randint(3, 97, (19,), generator=torch.Generator().manual_seed(2))
    states = _hidden_states(variant, ids)
    span = Span(1, 4)
    runner, pool = _runner(loaded_of(variant, span))
    lane = LaneCache(runner.shape, pool)
    outputs = [_feed(runner, span, [(lane, piece)])[0] for piece in states[1].split(list(chunks))]
    _assert_close(torch.cat(outputs), states[4], states[1])


@pytest.mark.parametrize("variant", VARIANTS)
def test_ragged_lanes_in_one_batch_equal_each_alone(variant: str, loaded_of: LoadedOf) -> None:
    generator = torch.Generator().manual_seed(3)
    sequences = [torch.randint(3, 97, (n,), generator=generator) for n in (5, 17, 11)]
    states = [_hidden_states(variant, ids) for ids in sequences]
    span = Span(0, 4)
    runner, pool = _runner(loaded_of(variant, span))
    lanes = [LaneCache(runner.shape, pool) for _ in sequences]
    first = _feed(runner, span, [(lane, s[0][:-3]) for lane, s in zip(lanes, states, strict=True)])
    mixed = [(lanes[0], states[0][0][-3:-2]), (lanes[1], states[1][0][-3:]), (lanes[2], states[2][0][-3:-2])]
    second = _feed(runner, span, mixed)
    third = _feed(runner, span, [(lanes[2], states[2][0][-2:]), (lanes[0], states[0][0][-2:])])
    got = [
        torch.cat([first[0], second[0], third[1]]),
        torch.cat([first[1], second[1]]),
        torch.cat([first[2], second[2], third[0]]),
    ]
    for out, expected in zip(got, states, strict=True):
        _assert_close(out, expected[4], expected[0])


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_of_the_stock_model_are_the_same_with_our_blocks_inside(variant: str, loaded_of: LoadedOf) -> None:
    """The last block's output is replaced by ours; norm and head are the model's own."""
    ids = torch.randint(3, 97, (19,), generator=torch.Generator().manual_seed(4))
    model = tiny_model(variant)
    states = _hidden_states(variant, ids)
    span = Span(0, 4)
    runner, pool = _runner(loaded_of(variant))
    lane = LaneCache(runner.shape, pool)
    ours = torch.cat([_feed(runner, span, [(lane, piece)])[0] for piece in states[0].split([10, 1, 1, 7])])
    with torch.no_grad():
        expected = model(input_ids=ids[None]).logits
        last = model.get_submodule(loaded_of(variant).family.blocks)[3]
        last.register_forward_hook(lambda _m, _i, out: (ours[None], *out[1:]) if type(out) is tuple else ours[None])
        logits = model(input_ids=ids[None]).logits
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)

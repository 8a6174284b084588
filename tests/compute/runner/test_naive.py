"""The naive twin is itself right: equal to the whole stock model, for every family."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from tiny_models import VARIANTS, tiny_model

from compute.models.loading import load_span
from compute.models.sources import ModelFiles
from compute.runner.naive import NaiveRunner
from compute.types import Span

TOLERANCE = 1e-5
"""Largest relative error of what the blocks add to a token, fp32."""


def _inputs_and_outputs(variant: str, span: Span) -> tuple[torch.Tensor, torch.Tensor]:
    """What goes into the span and comes out of it in the whole stock model, `[19, width]` each."""
    model = tiny_model(variant)
    base = model.base_model
    blocks = base.h if hasattr(base, "h") else base.layers
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    for block in blocks:
        block.register_forward_hook(
            lambda _m, args, out: seen.append((args[0], out[0] if isinstance(out, tuple) else out))
        )
    with torch.no_grad():
        model(input_ids=torch.randint(3, 97, (1, 19), generator=torch.Generator().manual_seed(5)))
    return seen[span.start][0][0], seen[span.end - 1][1][0]


def _delta_error(got: torch.Tensor, expected: torch.Tensor, x: torch.Tensor) -> float:
    return float(((got - expected).norm(dim=-1) / (expected - x).norm(dim=-1)).max())


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("chunks", [(19,), (8, 1, 1, 9)], ids=str)
def test_the_twin_equals_the_stock_model(
    variant: str, chunks: Sequence[int], saved: Callable[[str], ModelFiles]
) -> None:
    span = Span(1, 4)
    x, expected = _inputs_and_outputs(variant, span)
    twin = NaiveRunner(load_span(saved(variant), Span(0, 4)), span)
    got = torch.cat([twin.step(piece) for piece in x.split(list(chunks))])
    assert _delta_error(got, expected, x) < TOLERANCE


def test_truncation_and_fork_continue_as_if_nothing_else_had_been(saved: Callable[[str], ModelFiles]) -> None:
    x, expected = _inputs_and_outputs("llama", Span(0, 4))
    twin = NaiveRunner(load_span(saved("llama"), Span(0, 4)))
    twin.step(x[:12])
    twin.truncate(9)
    other = twin.fork()
    assert twin.length == other.length == 9
    for runner in (twin, other):
        assert _delta_error(runner.step(x[9:]), expected[9:], x[9:]) < TOLERANCE

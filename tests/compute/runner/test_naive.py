"""The naive twin is itself right: equal to the whole stock model, for every family."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tiny_models import VARIANTS, tiny_model

from compute.models.span import LoadedSpan
from compute.runner.naive import naive_outputs
from compute.types import Span

TOLERANCE = 1e-5
"""Largest relative error of what the blocks add to a token, fp32."""


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_twin_equals_the_stock_model(variant: str, loaded_of: Callable[..., LoadedSpan]) -> None:
    model = tiny_model(variant)
    blocks = model.get_submodule(loaded_of(variant).family.blocks)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    for block in blocks:
        block.register_forward_hook(lambda _m, args, out: seen.append((args[0], out[0] if type(out) is tuple else out)))
    with torch.no_grad():
        model(input_ids=torch.randint(3, 97, (1, 19), generator=torch.Generator().manual_seed(5)))
    x, expected = seen[1][0][0], seen[3][1][0]
    got = naive_outputs(loaded_of(variant), Span(1, 4), x)
    assert ((got - expected).norm(dim=-1) / (expected - x).norm(dim=-1)).max() < TOLERANCE

"""Linear layers that multiply in the other order for few rows: the same values, the same layer otherwise."""

from __future__ import annotations

import pytest
import torch

from compute.models.few_rows import ROWS_MAX, ROWS_MIN, FewRowsLinear, other_order_wins, quicken


def layer(*, bias: bool, n_out: int = 48, n_in: int = 32) -> torch.nn.Linear:
    torch.manual_seed(1)
    return torch.nn.Linear(n_in, n_out, bias=bias)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [1, ROWS_MIN - 1, ROWS_MIN, 8, ROWS_MAX, ROWS_MAX + 1])
@pytest.mark.parametrize("leading", [(), (1,)])
def test_values_are_those_of_the_stock_layer(bias: bool, rows: int, leading: tuple[int, ...]) -> None:
    stock = layer(bias=bias)
    quick = torch.nn.Sequential(layer(bias=bias))
    quicken(quick, lambda n_out, n_in: True)
    assert isinstance(quick[0], FewRowsLinear)
    x = torch.randn(*leading, rows, 32, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        assert quick(x).shape == (*leading, rows, 48)
        torch.testing.assert_close(quick(x), stock(x), rtol=1e-5, atol=1e-6)


def test_with_gradients_it_is_the_stock_layer() -> None:
    stock, quick = layer(bias=True), torch.nn.Sequential(layer(bias=True))
    quicken(quick, lambda n_out, n_in: True)
    x = torch.randn(8, 32, generator=torch.Generator().manual_seed(3)).requires_grad_()
    assert torch.equal(quick(x), stock(x))
    quick(x).sum().backward()
    assert x.grad is not None


def test_only_shapes_that_win_and_only_plain_layers_are_changed() -> None:
    class Special(torch.nn.Linear):
        """A layer with a `forward` of its own."""

    block = torch.nn.ModuleDict({"wide": layer(bias=False), "narrow": layer(bias=False, n_out=8), "own": Special(4, 4)})
    names = list(block.state_dict())
    quicken(block, lambda n_out, n_in: n_out > 8)
    assert [type(module).__name__ for module in block.values()] == ["FewRowsLinear", "Linear", "Special"]
    assert list(block.state_dict()) == names


def test_the_choice_is_made_once_per_shape() -> None:
    before = other_order_wins.cache_info().misses
    assert other_order_wins(40, 24) == other_order_wins(40, 24)
    assert other_order_wins.cache_info().misses == before + 1

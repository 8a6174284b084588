"""Blocks that are cheap, and whose outputs show every mistake of whoever feeds them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from compute.types import Row, Span

WIDTH = 8


class ToyBlocks:
    """Blocks whose outputs depend on every token before, and not on how tokens are cut into steps."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.lanes: list[list[list[torch.Tensor]]] = []

    def lengths(self) -> list[int]:
        return [len(lane[0]) for lane in self.lanes]

    def step(self, rows: Sequence[Row], fork: Sequence[int], hidden: torch.Tensor) -> torch.Tensor:
        if fork:
            self.lanes = [[list(block) for block in self.lanes[source]] for source in fork]
        while rows and len(self.lanes) <= max(row.lane for row in rows):
            self.lanes.append([[] for _ in range(len(self.span))])
        outputs = [torch.empty(0, WIDTH)]
        for row, tokens in zip(rows, hidden.split([row.n_tokens for row in rows]) if rows else (), strict=True):
            lane = self.lanes[row.lane]
            assert row.position <= len(lane[0]), "a position beyond the lane"
            for block in lane:
                del block[row.position :]
            outputs.extend(self._token(lane, token)[None] for token in tokens)
        return torch.cat(outputs)

    def _token(self, lane: list[list[torch.Tensor]], token: torch.Tensor) -> torch.Tensor:
        for index, inputs in enumerate(lane):
            inputs.append(token)
            weights = torch.arange(1, len(inputs) + 1, dtype=torch.float32)
            context = (torch.stack(inputs) * weights[:, None]).sum(0) / weights.sum()
            token = torch.tanh(token.roll(1) + 0.7 * context + 0.1 * (self.span.start + index))
        return token

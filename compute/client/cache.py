"""The cache object that `generate()` handles, when the keys and values are at the providers.

It holds no tensor: for every row of the batch, the lane of the session that the row continues and how many tokens of it
are the row's own. Reordering, repeating, selecting and cropping rewrite that table; the providers hear of it with the
next step, as a fork and as row positions below a lane's length. Rows that continue the same lane with the same tokens
(beams and returned sequences of one prompt) are sent once, and fork where they part.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import Cache, GenerationMixin

from compute.client.token_session import UNKNOWN_TOKEN, Continuation, TokenSession
from compute.errors import BadRequest

CACHE_KEYWORD = (
    "cache"
    if "cache" in inspect.signature(GenerationMixin.prepare_inputs_for_generation).parameters
    else "past_key_values"
)
"""What `forward` and `generate` call the cache: transformers renamed it in 5.24."""


@dataclass(frozen=True, slots=True)
class RowState:
    """A row of the batch holds the first `length` tokens of `lane`."""

    lane: int
    length: int


@dataclass(frozen=True, slots=True)
class _Merged:
    """Rows of a batch without their repetitions.

    Args:
        lanes: what each lane of the session becomes.
        rows: `rows[i]` is a row of the batch that shows lane `i`'s new tokens.
        lane_of_row: for each row of the batch, its lane.
    """

    lanes: list[Continuation]
    rows: list[int]
    lane_of_row: list[int]


class RemoteCache(Cache):
    """Rows of one `generate()` call over the lanes of a `TokenSession`.

    `get_seq_length()` counts columns of the batch, padding included, as generation expects. The lanes hold no padding,
    so a token's position is the number of real tokens before it: what transformers derives from a 2-D attention mask.
    """

    def __init__(self, session: TokenSession) -> None:
        super().__init__(layers=[])
        self.session = session
        self._columns = 0
        self._rows: list[RowState] = []
        self._version = session.version

    def plan(self, input_ids: torch.Tensor, keep: torch.Tensor | None) -> None:
        """Rewinds to the columns whose tokens the session holds already, so that only those after them are sent.

        Args:
            input_ids: ids of the whole sequences, `[rows, columns]`.
            keep: True where a column is no padding, bool `[rows, columns]`; None for no padding.
        """
        n_columns = input_ids.shape[1]
        tokens, columns = kept_tokens(input_ids, keep), _kept_columns(keep, *input_ids.shape)
        found = {row: self.session.longest_prefix(row) for row in set(tokens)}
        # The last column is always computed: its logits are what generation starts from.
        reused = n_columns - 1
        for row, places in zip(tokens, columns, strict=True):
            n_common = found[row][1]
            reused = min(reused, places[n_common] if n_common < len(places) else n_columns)
        self._columns = reused
        self._rows = [
            RowState(found[row][0], sum(place < reused for place in places))
            for row, places in zip(tokens, columns, strict=True)
        ]
        self._version = self.session.version

    def lengths(self, n_rows: int) -> list[int]:
        """Tokens that each row holds: the position of its next one."""
        return [row.length for row in self._rows_of(n_rows)]

    def step(
        self, hidden: torch.Tensor, tokens: Sequence[tuple[int, ...]] | None, keep: torch.Tensor | None
    ) -> torch.Tensor:
        """Runs the new columns through all remote blocks.

        Args:
            hidden: `[rows, columns, width]`.
            tokens: each row's ids without padding; None where they are not known.
            keep: True where a column is no padding, bool `[rows, columns]`; None for no padding.

        Returns:
            Hidden states after the last block, like `hidden`; zero where there is padding.

        Raises:
            BadRequest: the session went on without this cache, or would outgrow its `max_tokens`.
        """
        n_rows, n_columns, _ = hidden.shape
        merged = self._merge(self._rows_of(n_rows), tokens, keep, n_columns)
        lone = hidden if merged.rows == list(range(n_rows)) else hidden[merged.rows]
        packed = lone.flatten(0, 1) if keep is None else lone[keep[merged.rows]]
        if packed.shape[0]:
            result = self.session.advance(merged.lanes, packed.detach().cpu()).to(hidden.device, hidden.dtype)
            self._version = self.session.version
            self._rows = [
                RowState(lane, merged.lanes[lane].position + len(merged.lanes[lane].tokens))
                for lane in merged.lane_of_row
            ]
        else:
            result = packed
        self._columns += n_columns
        if keep is None:
            out = result.view(lone.shape)
            return out if lone is hidden else out[merged.lane_of_row]
        return _scatter(result, merged, hidden, keep)

    def _rows_of(self, n_rows: int) -> list[RowState]:
        if self._version != self.session.version:
            raise BadRequest("the session went on, or a step of it failed, since this cache was made; start a new call")
        if not self._rows:
            self._rows = [RowState(0, 0)] * n_rows
        if len(self._rows) != n_rows:
            raise BadRequest(
                f"the cache holds {len(self._rows)} rows, the batch has {n_rows}; pass the rows it was fed"
            )
        return self._rows

    @staticmethod
    def _merge(
        rows: Sequence[RowState], tokens: Sequence[tuple[int, ...]] | None, keep: torch.Tensor | None, n_columns: int
    ) -> _Merged:
        if tokens is None:
            counts = [n_columns] * len(rows) if keep is None else keep.sum(1).tolist()
            lanes = [
                Continuation(row.lane, row.length, (UNKNOWN_TOKEN,) * n) for row, n in zip(rows, counts, strict=True)
            ]
            return _Merged(lanes, list(range(len(rows))), list(range(len(rows))))
        lane_of: dict[Continuation, int] = {}
        first: list[int] = []
        lane_of_row: list[int] = []
        for index, (row, new) in enumerate(zip(rows, tokens, strict=True)):
            lane = lane_of.setdefault(Continuation(row.lane, row.length, new), len(lane_of))
            if lane == len(first):
                first.append(index)
            lane_of_row.append(lane)
        return _Merged(list(lane_of), first, lane_of_row)

    # What transformers asks of a cache.

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._columns

    def get_max_length(self, layer_idx: int | None = None) -> int:
        return -1

    def get_mask_sizes(self, query_length: int, layer_idx: int = 0) -> tuple[int, int]:
        # Nothing here attends, so whatever is built from these sizes (BLOOM's ALiBi) is dropped: keep it small.
        return query_length, 0

    @property
    def is_linear(self) -> list[bool]:
        # "Not linear" is what makes generation slice a prompt by `get_seq_length()`.
        return [False]

    @property
    def is_croppable(self) -> bool:
        return True

    def crop(self, tokens_to_remove: int) -> None:
        """Drops the last `-tokens_to_remove` columns, which holding no padding. Raises ValueError if it is positive."""
        if tokens_to_remove > 0:
            raise ValueError(f"crop takes the negative number of tokens to remove, not {tokens_to_remove}")
        self._columns = max(0, self._columns + tokens_to_remove)
        self._rows = [RowState(row.lane, max(0, row.length + tokens_to_remove)) for row in self._rows]

    def reset(self) -> None:
        self._columns = 0
        self._rows = [RowState(row.lane, 0) for row in self._rows]

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        self._rows = [self._rows[index] for index in beam_idx.tolist()]

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self.reorder_cache(torch.arange(len(self._rows))[indices.cpu()])

    def batch_repeat_interleave(self, repeats: int) -> None:
        self._rows = [row for row in self._rows for _ in range(repeats)]


def kept_tokens(input_ids: torch.Tensor, keep: torch.Tensor | None) -> list[tuple[int, ...]]:
    """The ids of each row, `[rows, columns]`, without those where `keep` is False."""
    rows = input_ids.tolist()
    if keep is None:
        return [tuple(row) for row in rows]
    return [
        tuple(row[column] for column in kept) for row, kept in zip(rows, _kept_columns(keep, *keep.shape), strict=True)
    ]


def _kept_columns(keep: torch.Tensor | None, n_rows: int, n_columns: int) -> list[list[int]]:
    if keep is None:
        return [list(range(n_columns))] * n_rows
    return [row.nonzero().flatten().tolist() for row in keep]


def _scatter(result: torch.Tensor, merged: _Merged, hidden: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """Packed lanes back into the columns of the rows that they stand for; zeros for padding."""
    parts = result.split([len(lane.tokens) for lane in merged.lanes])
    out = torch.zeros_like(hidden)
    for row, lane in enumerate(merged.lane_of_row):
        out[row, keep[row]] = parts[lane]
    return out

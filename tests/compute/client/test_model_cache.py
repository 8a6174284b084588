"""The table of rows and lanes against a naive twin that keeps every row's tokens by themselves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.client.cache import RemoteCache
from compute.client.token_session import TokenSession
from compute.types import Row

PRIME = 1_000_003


def digest(tokens: Sequence[int]) -> float:
    """Depends on every token and on their order, as a hidden state does; exact in fp64."""
    value = 1
    for token in tokens:
        value = (value * 31 + token + 7) % PRIME
    return float(value)


class DigestSession:
    """Blocks whose output for a token is the digest of its lane up to there. Hidden states are the ids themselves."""

    closed = False

    def __init__(self, lanes: int) -> None:
        self.held: list[list[int]] = [[] for _ in range(lanes)]
        self.tokens_sent = 0

    @property
    def lengths(self) -> tuple[int, ...]:
        return tuple(map(len, self.held))

    def step(self, rows: Sequence[Row], hidden: torch.Tensor, fork: Sequence[int] = ()) -> torch.Tensor:
        if fork:
            self.held = [list(self.held[source]) for source in fork]
        assert [row.lane for row in rows] == sorted({row.lane for row in rows})
        out, tokens = [], iter(hidden.flatten().tolist())
        for row in rows:
            lane = self.held[row.lane]
            assert row.position <= len(lane)
            del lane[row.position :]
            for _ in range(row.n_tokens):
                lane.append(int(next(tokens)))
                out.append(digest(lane))
        self.tokens_sent += len(out)
        return torch.tensor(out, dtype=torch.float64)[:, None]

    def close(self) -> None:
        pass


class DigestSource:
    def __init__(self) -> None:
        self.session = DigestSession(1)

    def open_session(self, *, max_tokens: int, lanes: int = 1) -> DigestSession:
        self.session = DigestSession(lanes)
        return self.session


Columns = list[int | None]
"""What a row was fed, column by column; None is padding."""


def real(columns: Columns) -> list[int]:
    return [token for token in columns if token is not None]


def feed(cache: RemoteCache, rows: list[Columns], new: list[Columns]) -> None:
    """Feeds `new` to the cache and to the twin `rows`, and compares what comes back."""
    keep = torch.tensor([[token is not None for token in columns] for columns in new])
    ids = torch.tensor([[token or 0 for token in columns] for columns in new])
    tokens = [tuple(real(columns)) for columns in new]
    out = cache.step(ids[..., None].double(), tokens, None if bool(keep.all()) else keep)
    for index, columns in enumerate(new):
        for column, token in enumerate(columns):
            rows[index].append(token)
            expected = 0.0 if token is None else digest(real(rows[index]))
            assert out[index, column, 0] == expected


def draw_columns(data: st.DataObject, n_rows: int) -> list[Columns]:
    n_columns = data.draw(st.integers(1, 3), label="columns")
    # Few ids, so that rows which share a lane often go on alike.
    cell = st.sampled_from([None, 1, 2] if data.draw(st.booleans(), label="padded") else [1, 2])
    return [data.draw(st.lists(cell, min_size=n_columns, max_size=n_columns)) for _ in range(n_rows)]


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_every_row_sees_its_own_tokens_whatever_happens_to_the_rows(data: st.DataObject) -> None:
    session = TokenSession(DigestSource(), max_tokens=10_000)
    if data.draw(st.booleans(), label="opened before"):
        session.open()
    cache = RemoteCache(session)
    rows: list[Columns] = [[] for _ in range(data.draw(st.integers(1, 3), label="rows"))]
    feed(cache, rows, draw_columns(data, len(rows)))
    for _ in range(data.draw(st.integers(1, 8), label="operations")):
        match data.draw(st.sampled_from(["feed", "reorder", "repeat", "crop"])):
            case "feed":
                feed(cache, rows, draw_columns(data, len(rows)))
            case "reorder":
                order = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=4))
                cache.reorder_cache(torch.tensor(order))
                rows = [list(rows[index]) for index in order]
            case "repeat":
                cache.batch_repeat_interleave(2)
                rows = [list(row) for row in rows for _ in range(2)][:5]
                cache.batch_select_indices(torch.arange(len(rows)))
            case "crop":
                n_solid = min(next((i for i, t in enumerate(reversed(row)) if t is None), len(row)) for row in rows)
                n_dropped = data.draw(st.integers(0, n_solid))
                cache.crop(-n_dropped)
                rows = [row[: len(row) - n_dropped] for row in rows]
        assert cache.get_seq_length() == len(rows[0])
        assert cache.lengths(len(rows)) == [len(real(row)) for row in rows]


def test_rows_that_go_on_alike_are_sent_once_until_they_part() -> None:
    source = DigestSource()
    cache = RemoteCache(TokenSession(source, max_tokens=100))
    rows: list[Columns] = [[], [], []]
    feed(cache, rows, [[1, 2, 3]] * 3)
    assert source.session.tokens_sent == 3
    feed(cache, rows, [[4], [4], [5]])
    assert source.session.tokens_sent == 5
    assert source.session.held == [[1, 2, 3, 4], [1, 2, 3, 5]]
    feed(cache, rows, [[6], [7], [6]])
    assert source.session.held == [[1, 2, 3, 4, 6], [1, 2, 3, 4, 7], [1, 2, 3, 5, 6]]


def test_columns_of_padding_alone_cost_no_step() -> None:
    source = DigestSource()
    cache = RemoteCache(TokenSession(source, max_tokens=100))
    rows: list[Columns] = [[], []]
    feed(cache, rows, [[None, None], [None, None]])
    assert source.session.tokens_sent == 0
    feed(cache, rows, [[None], [1]])
    assert source.session.tokens_sent == 1


def test_embeddings_are_never_taken_for_tokens() -> None:
    source = DigestSource()
    session = TokenSession(source, max_tokens=100)
    RemoteCache(session).step(torch.ones(2, 3, 1, dtype=torch.float64), None, None)
    assert source.session.tokens_sent == 6
    assert session.longest_prefix([1, 1, 1]) == (0, 0)

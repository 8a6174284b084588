from __future__ import annotations

from collections.abc import Sequence

import torch
from hypothesis import given
from hypothesis import strategies as st

from peerz_node.text_stream import IncrementalText, TokenStream


def decode_bytes(ids: Sequence[int]) -> str:
    """A byte-level tokenizer: the hardest case, for most characters take several tokens."""
    return bytes(ids).decode("utf-8", errors="replace")


@given(st.text(max_size=60))
def test_pieces_together_are_the_text_of_all_tokens(text: str) -> None:
    stream = IncrementalText(decode_bytes)
    pieces = [stream.push(token) for token in text.encode()]
    assert "".join([*pieces, stream.flush()]) == text


def test_an_unfinished_character_waits() -> None:
    stream = IncrementalText(decode_bytes)
    assert [stream.push(token) for token in "aé€".encode()] == ["a", "", "é", "", "", "€"]


def test_what_ends_inside_a_character_is_shown_at_the_end() -> None:
    stream = IncrementalText(decode_bytes)
    assert stream.push("é".encode()[0]) == ""
    assert stream.flush() == "\N{REPLACEMENT CHARACTER}"
    assert stream.flush() == ""


def test_a_stream_skips_the_prompt_and_times_each_token() -> None:
    clock = iter([10.0, 10.5, 10.75, 11.25])
    shown: list[str] = []
    stream = TokenStream(IncrementalText(decode_bytes), lambda: next(clock), shown.append)
    stream.put(torch.tensor([[1, 2, 3]]))
    for token in b"abc":
        stream.put(torch.tensor([token]))
    stream.end()
    assert stream.token_ids == list(b"abc")
    assert shown == ["a", "b", "c"]
    assert stream.ttft_s == 0.5
    assert stream.s_per_token == 0.375


def test_times_of_a_stream_without_tokens_are_zero() -> None:
    stream = TokenStream(IncrementalText(decode_bytes), lambda: 1.0, lambda piece: None)
    stream.put(torch.tensor([[1]]))
    stream.end()
    assert (stream.ttft_s, stream.s_per_token) == (0.0, 0.0)

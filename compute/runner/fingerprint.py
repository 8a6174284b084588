"""Which inputs the first tokens of a lane came from: one short hash for every whole chunk, each over all before it.

A fingerprint only says where it is worth to compare keys and values. It decides nothing: two prefixes are the same when
the bytes of their keys and values are. So it reads no more than the first elements of every row, which tell any two
prompts apart that are not made to look alike, and costs the event loop a millisecond for the longest step.
"""

from __future__ import annotations

import hashlib

import torch

from compute.types import Span

CHUNK_TOKENS = 64
"""Prefixes are compared and shared in whole chunks."""
_ELEMENTS = 64
_HASH_BYTES = 16

Fingerprint = tuple[bytes, ...]
"""Entry `i` stands for the first `(i + 1) * CHUNK_TOKENS` tokens."""


def fingerprint_of(span: Span, hidden: torch.Tensor, dtype: torch.dtype) -> Fingerprint:
    """Of the whole chunks of `hidden` `[tokens, width]` that go into blocks `span`, which compute in `dtype`, at
    position 0."""
    n_chunks = hidden.shape[0] // CHUNK_TOKENS
    rows = hidden[: n_chunks * CHUNK_TOKENS, :_ELEMENTS].to("cpu", dtype).contiguous().view(torch.uint8).numpy()
    running = hashlib.blake2b(f"{span.start}:{span.end}".encode(), digest_size=_HASH_BYTES)
    hashes = []
    for i in range(n_chunks):
        running.update(rows[i * CHUNK_TOKENS : (i + 1) * CHUNK_TOKENS].tobytes())
        hashes.append(running.copy().digest())
    return tuple(hashes)


def common_tokens(a: Fingerprint, b: Fingerprint) -> int:
    """Tokens of the longest prefix that both may have in common."""
    chunks = 0
    for mine, other in zip(a, b, strict=False):
        if mine != other:
            break
        chunks += 1
    return chunks * CHUNK_TOKENS

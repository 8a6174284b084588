"""Overhead per hop, time to the first token, many clients at once; beside the same blocks in this process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

from compute.client.swarm_client import SwarmClient
from compute.models.loading import load_span
from compute.models.sources import ModelFiles
from compute.runner.blocks import BatchRow, BlockRunner
from compute.runner.cache import LaneCache
from compute.runner.pool import CachePool
from compute.types import Row, Span
from peerz_node.bench.record import Figure, median_figure
from peerz_node.bench.workload import at_once, decode, embeddings, prefill

CLIENTS = (1, 4, 8, 16)
_PROMPT_TOKENS = 64
_LONG_PROMPT_TOKENS = 512
_DECODE_STEPS = 60
_CLIENT_STEPS = 30
_ROUNDS = 3


class LocalBlocks:
    """The same blocks in this process, with the interface of a session: no engine, no network, one thread."""

    def __init__(self, files: ModelFiles) -> None:
        manifest_blocks = load_span(files, Span(0, 1)).n_blocks_of_model
        self._span = Span(0, manifest_blocks)
        self._runner = BlockRunner(load_span(files, self._span))
        self._lane = LaneCache(self._runner.shape, CachePool(1 << 40))

    def step(self, rows: Sequence[Row], hidden: torch.Tensor, fork: Sequence[int] = ()) -> torch.Tensor:
        (row,) = rows
        self._lane.truncate(row.position)
        self._lane.reserve(row.position, row.n_tokens)
        (output,) = self._runner.run(self._span, [BatchRow(self._lane, hidden)])
        self._lane.commit(row.n_tokens)
        return output


def hop_figures(client: SwarmClient, model: Any, tokenizer: Any, local: LocalBlocks) -> list[Figure]:
    """Decode steps through the swarm and through the same blocks here, in turn."""
    hidden = embeddings(model, tokenizer, _PROMPT_TOKENS + _ROUNDS * _DECODE_STEPS)
    remote_s, local_s, overhead_ms = [], [], []
    with client.open_session(max_tokens=1024) as session:
        hops = len(session.route.hops)
        prefill(session, hidden[:_PROMPT_TOKENS])
        prefill(local, hidden[:_PROMPT_TOKENS])
        for i in range(_ROUNDS):
            start = _PROMPT_TOKENS + i * _DECODE_STEPS
            before = session.stats
            remote_s += decode(session, hidden, start, _DECODE_STEPS)
            local_s += decode(local, hidden, start, _DECODE_STEPS)
            overhead_ms.append(_overhead_ms(before, session.stats))
    step = median_figure("decode step through the swarm", [s * 1000 for s in remote_s], "ms")
    alone = median_figure("decode step, same blocks in one process", [s * 1000 for s in local_s], "ms")
    note = "step time less the blocks' own time, as the providers measured it, per hop"
    return [
        step,
        alone,
        median_figure("overhead per hop", overhead_ms, "ms", target=2.0, note=note),
        Figure(
            "overhead per hop against one process",
            (step.value - alone.value) / hops,
            "ms",
            note="also holds what two processes on shared cores cost each other",
        ),
    ]


def _overhead_ms(before: Any, after: Any) -> float:
    """Milliseconds per hop and step that were neither compute nor queue between two statistics of a session."""
    total, steps = 0.0, 0
    for old, new in zip(before.hops, after.hops, strict=True):
        total += new.link_ms * new.steps - old.link_ms * old.steps + new.queue_ms * new.steps - old.queue_ms * old.steps
        steps += new.steps - old.steps
    return total / steps


def first_token_figures(client: SwarmClient, model: Any, tokenizer: Any, local: LocalBlocks) -> list[Figure]:
    """From having the prompt's embeddings to the first token's hidden state, 512 tokens."""
    hidden = embeddings(model, tokenizer, _LONG_PROMPT_TOKENS)
    remote_s, opened_s, local_s = [], [], []
    for _ in range(_ROUNDS):
        started_s = time.perf_counter()
        with client.open_session(max_tokens=1024) as session:
            opened_s.append(time.perf_counter() - started_s)
            remote_s.append(prefill(session, hidden))
        local_s.append(prefill(local, hidden))
    return [
        median_figure("time to first token, 512-token prompt", [s * 1000 for s in remote_s], "ms"),
        median_figure("the same, blocks in one process", [s * 1000 for s in local_s], "ms"),
        median_figure("opening a session", [s * 1000 for s in opened_s], "ms"),
    ]


def client_figures(client: SwarmClient, model: Any, tokenizer: Any) -> list[Figure]:
    """Tokens per second of all clients together: of the blocks alone, and of whole `generate()` calls."""
    hidden = embeddings(model, tokenizer, _PROMPT_TOKENS + _CLIENT_STEPS)
    blocks = {n: _blocks_rate(client, hidden, n) for n in CLIENTS}
    whole = {n: _generate_rate(model, tokenizer, n) for n in CLIENTS}
    figures = []
    for what, rates in (("blocks", blocks), ("generate()", whole)):
        figures += [Figure(f"{what}: {n} clients together", rate, "tokens/s") for n, rate in rates.items()]
        target = 4.0 if what == "blocks" else None
        note = "" if what == "blocks" else "clients' own embeddings and heads run on the same two cores"
        ratio = rates[8] / rates[1]
        figures.append(Figure(f"{what}: 8 clients against 1", ratio, "x", target, "higher", note=note))
    return figures


def _blocks_rate(client: SwarmClient, hidden: torch.Tensor, n: int) -> float:
    sessions = [client.open_session(max_tokens=1024) for _ in range(n)]
    try:
        for session in sessions:
            prefill(session, hidden[:_PROMPT_TOKENS])
        taken_s = at_once(lambda i: _decode_only(sessions[i], hidden), n)
    finally:
        for session in sessions:
            session.close()
    return n * _CLIENT_STEPS / taken_s


def _decode_only(session: Any, hidden: torch.Tensor) -> None:
    decode(session, hidden, _PROMPT_TOKENS, _CLIENT_STEPS)


def _generate_rate(model: Any, tokenizer: Any, n: int) -> float:
    prompts = [tokenizer(f"{i} things that everyone should know:", return_tensors="pt") for i in range(n)]

    def work(i: int) -> None:
        model.generate(
            **prompts[i], max_new_tokens=_CLIENT_STEPS, min_new_tokens=_CLIENT_STEPS, do_sample=False, top_p=None,
            temperature=None, top_k=None,
        )  # fmt: skip

    return n * _CLIENT_STEPS / at_once(work, n)

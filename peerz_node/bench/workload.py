"""What the benchmarks feed to sessions: real embeddings of a fixed text, and timing of plain decode steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

from compute.types import Row

TEXT = (
    "The harbour wakes before the town does. Gulls argue over the first nets, engines cough, and somebody always "
    "shouts for a rope that was there yesterday. By the time the bakery opens its shutters the boats are small dark "
    "marks on a grey sea, and the quay belongs to the old men again, who know every boat by the sound of it and will "
    "tell you, if you stop for long enough, which of them was built by whom, and which winter nearly took her. "
)


class StepSession(Protocol):
    """What is measured: a session over all blocks."""

    def step(self, rows: Sequence[Row], hidden: torch.Tensor, fork: Sequence[int] = ()) -> torch.Tensor: ...


def embeddings(model: Any, tokenizer: Any, n_tokens: int) -> torch.Tensor:
    """`[n_tokens, width]`: what the model's blocks see of the fixed text, repeated as often as needed."""
    ids = tokenizer(TEXT * (1 + n_tokens // 60), return_tensors="pt")["input_ids"][:, :n_tokens]
    with torch.inference_mode():
        states: torch.Tensor = model.get_input_embeddings()(ids)[0]
    return states


def prefill(session: StepSession, hidden: torch.Tensor) -> float:
    """Seconds for the whole of `hidden` as one step from position 0."""
    started_s = time.perf_counter()
    session.step([Row(0, 0, hidden.shape[0])], hidden)
    return time.perf_counter() - started_s


def decode(session: StepSession, hidden: torch.Tensor, start: int, steps: int) -> list[float]:
    """Seconds of each of `steps` single-token steps from position `start` on."""
    taken = []
    for i in range(steps):
        started_s = time.perf_counter()
        session.step([Row(0, start + i, 1)], hidden[start + i : start + i + 1])
        taken.append(time.perf_counter() - started_s)
    return taken


def at_once(work: Callable[[int], None], n: int) -> float:
    """Seconds from the moment that `n` threads start `work(i)` together until the last is done. Passes errors on."""
    gate = threading.Barrier(n + 1)
    errors: list[BaseException] = []

    def run(i: int) -> None:
        gate.wait()
        try:
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(n)]
    for thread in threads:
        thread.start()
    gate.wait()
    started_s = time.perf_counter()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return time.perf_counter() - started_s

"""How long a reader waits for the next token when a provider is killed or frozen in the middle of an answer."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from compute.client.model import AutoDistributedModelForCausalLM
from peerz_node.bench.processes import ProviderProcess
from peerz_node.bench.record import Figure

_NEW_TOKENS = 40
_KILL_AFTER = 15


class _Stopwatch:
    """A streamer that notes when tokens come, and does something after one of them."""

    def __init__(self, after: int, action: Callable[[], None]) -> None:
        self.times_s: list[float] = []
        self._after = after
        self._action = action
        self._prompt_seen = False

    def put(self, value: torch.Tensor) -> None:
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        self.times_s.append(time.perf_counter())
        if len(self.times_s) == self._after:
            self._action()

    def end(self) -> None:
        """Nothing is held back."""


def failover_figures(model_name: str, tokenizer: Any, running: Sequence[ProviderProcess]) -> list[Figure]:
    """Of `running`, the last three serve the same blocks; two of them are hit, one after the other, in use."""
    with AutoDistributedModelForCausalLM.from_pretrained(model_name, initial_peers=[running[0].address]) as model:
        prompt = tokenizer("The lighthouse keeper wrote in his diary:", return_tensors="pt")
        calm = _generate(model, prompt, _Stopwatch(-1, lambda: None))
        figures, spare = [], list(running[-3:])
        for name, number in (("SIGKILL", signal.SIGKILL), ("SIGSTOP", signal.SIGSTOP)):
            with model.inference_session(256) as session:
                watch = _Stopwatch(_KILL_AFTER, lambda n=number, s=session: _hit(s, spare, n))  # type: ignore[misc]
                tokens = _generate(model, prompt, watch, session=session)
            gap_s = max(b - a for a, b in zip(watch.times_s, watch.times_s[1:], strict=False))
            same = tokens == calm
            note = "same tokens as without it" if same else "TOKENS DIFFER from the run without it"
            figures.append(
                Figure(f"{name} of a hop to the next token", gap_s if same else float("inf"), "s", 2.0, note=note)
            )
    return figures


def _generate(model: Any, prompt: Any, watch: _Stopwatch, **more: Any) -> list[int]:
    ids: torch.Tensor = model.generate(
        **prompt, max_new_tokens=_NEW_TOKENS, min_new_tokens=_NEW_TOKENS, do_sample=False, top_p=None, temperature=None,
        top_k=None, streamer=watch, **more,
    )  # fmt: skip
    return ids[0].tolist()


def _hit(session: Any, spare: list[ProviderProcess], number: int) -> None:
    """Signals the provider that the session uses for the replicated blocks."""
    used = {hop.peer for hop in session.blocks.route.hops}
    victim = next(process for process in spare if process.facts["peer_id"] in used)
    spare.remove(victim)
    os.kill(victim.node.pid, number)

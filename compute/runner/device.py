"""The one thread that computes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import torch

from compute.errors import BadRequest, ComputeError
from compute.runner.blocks import BatchRow, BlockRunner
from compute.types import Span

logger = logging.getLogger(__name__)
T = TypeVar("T")


class Device:
    """Runs one thing after the other. Methods are called on the event loop."""

    def __init__(self, runner: BlockRunner, device: torch.device) -> None:
        self._runner = runner
        self._device = device
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="device")

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, work)

    def run_rows(self, span: Span, rows: Sequence[BatchRow]) -> asyncio.Future[list[torch.Tensor | Exception]]:
        """A batch: for each row an output, on the CPU, or an error. A bad row never fails the others."""
        return self.run(partial(self._compute, span, rows))

    def stop(self) -> None:
        """What runs now ends, nothing else begins."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _compute(self, span: Span, rows: Sequence[BatchRow]) -> list[torch.Tensor | Exception]:
        try:
            outputs: Sequence[torch.Tensor] = self._runner.run(span, rows)
            if self._device.type != "cpu":  # one copy for all
                outputs = torch.cat(list(outputs)).cpu().split([row.hidden.shape[0] for row in rows])
        except Exception as error:
            if len(rows) == 1:
                logger.exception("a step failed in the blocks")
                return [ComputeError(f"the blocks failed on this step: {type(error).__name__}")]
            return [self._compute(span, [row])[0] for row in rows]
        return [_finite(output) for output in outputs]


def _finite(output: torch.Tensor) -> torch.Tensor | BadRequest:
    """`output`, or what to tell a client whose activations lead to anything but numbers."""
    if torch.isfinite(output).all():
        return output
    return BadRequest("the step's activations lead to NaN or infinite values; they are refused")

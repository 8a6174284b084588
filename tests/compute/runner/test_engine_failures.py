"""Failures stay with the guilty step, and what does not fit is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import torch
from engine_steps import TOLERANCE, WHOLE, EngineOf, delta_error, sid, step_header, tokens

from compute.errors import BadRequest, ComputeError, Overloaded
from compute.models.span import LoadedSpan
from compute.runner.naive import naive_outputs
from compute.runner.scheduler import SchedulerOptions
from compute.types import Span, StepHeader


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("variant", ["llama", "gemma2", "mixtral", "falcon", "bloom"])
async def test_values_that_are_no_numbers_fail_only_their_own_step(
    variant: str, bad: float, engine_of: EngineOf
) -> None:
    engine = await engine_of(variant)
    for i in range(2):
        await engine.open(sid(i), f"c{i}", WHOLE, 1, 100)
        await engine.step(sid(i), step_header((0, 0, 5)), tokens(5))
    poison = tokens(1)
    poison[0, 3] = bad
    good, failed = await asyncio.gather(
        engine.step(sid(0), step_header((0, 5, 1)), tokens(1)),
        engine.step(sid(1), step_header((0, 5, 1)), poison),
        return_exceptions=True,
    )
    assert isinstance(failed, BadRequest)
    assert not isinstance(good, BaseException)
    retried = await engine.step(sid(1), step_header((0, 5, 1)), tokens(1))
    torch.testing.assert_close(retried.hidden, good.hidden)


async def test_an_exception_in_a_batch_fails_only_the_guilty_step(
    engine_of: EngineOf, caplog: pytest.LogCaptureFixture
) -> None:
    engine = await engine_of()
    runner: Any = engine._runner
    run = runner.run

    def fragile(span: Span, rows: Any) -> Any:
        if any(row.hidden.shape[0] == 3 for row in rows):
            raise RuntimeError("a kernel that cannot do three")
        return run(span, rows)

    runner.run = fragile
    for i in range(3):
        await engine.open(sid(i), f"c{i}", WHOLE, 1, 100)
    results = await asyncio.gather(
        *(engine.step(sid(i), step_header((0, 0, n)), tokens(n)) for i, n in enumerate((2, 3, 4))),
        return_exceptions=True,
    )
    assert [isinstance(result, ComputeError) for result in results] == [False, True, False]
    assert "RuntimeError" in str(results[1])


@pytest.mark.parametrize("back", [1, 30, 100])
async def test_a_failed_step_leaves_forks_and_roll_backs_undone(
    back: int, engine_of: EngineOf, loaded_of: Callable[..., LoadedSpan]
) -> None:
    engine = await engine_of(scheduler=SchedulerOptions(batch_tokens_max=64, prefill_chunk_tokens=30))
    await engine.open(sid(1), "c", WHOLE, 3, 1000)
    history = tokens(150)
    await engine.step(sid(1), step_header((0, 0, 150)), history)
    engine.check_integrity()
    poison = tokens(120, seed=2)
    poison[100] = float("nan")  # in a late piece: earlier ones have overwritten what was rolled back
    with pytest.raises(BadRequest, match="NaN"):
        await engine.step(sid(1), step_header((0, 150 - back, 120), fork=(0, 0)), poison)
    engine.check_integrity()
    assert engine.stats().cached_tokens == 150
    got = await engine.step(sid(1), step_header((0, 150, 1)), tokens(1, seed=3))
    whole = torch.cat([history, tokens(1, seed=3)])
    expected = naive_outputs(loaded_of("llama"), WHOLE, whole)
    assert delta_error(got.hidden, expected[150:], whole[150:]) < TOLERANCE


@pytest.mark.parametrize(
    ("header", "shape", "message"),
    [
        (step_header((0, 6, 1)), (1, 32), "beyond its 5 tokens"),
        (step_header((1, 1, 1)), (1, 32), "beyond its 0 tokens"),
        (step_header((2, 0, 1)), (1, 32), "lanes of the session"),
        (step_header((0, 5, 1), (0, 6, 1)), (2, 32), "out of order"),
        (step_header((0, 5, 96)), (96, 32), "100 tokens"),
        (step_header((0, 5, 2)), (1, 32), "the tensor is"),
        (step_header((0, 5, 1)), (1, 31), "the tensor is"),
        (step_header((0, 5, 1), fork=(1,)), (1, 32), "a fork of a lane"),
        (step_header((0, 5, 1), fork=(0, 0, 0)), (1, 32), "opened for 2"),
        (step_header((1, 5, 1), fork=(0,)), (1, 32), "lanes of the session"),
    ],
)
async def test_steps_that_do_not_fit_the_session_are_refused(
    header: StepHeader, shape: tuple[int, int], message: str, engine_of: EngineOf
) -> None:
    engine = await engine_of()
    await engine.open(sid(1), "c", WHOLE, 2, 100)
    await engine.step(sid(1), step_header((0, 0, 5)), tokens(5))
    with pytest.raises(BadRequest, match=message):
        await engine.step(sid(1), header, torch.zeros(shape))
    assert engine.stats().cached_tokens == 5


async def test_sessions_that_cannot_be_served_are_refused(engine_of: EngineOf) -> None:
    engine = await engine_of(sessions_max=1, queue_tokens_max=10)
    with pytest.raises(BadRequest, match="not served here"):
        await engine.open(sid(1), "c", Span(2, 5), 1, 100)
    await engine.open(sid(1), "c", WHOLE, 1, 100)
    with pytest.raises(BadRequest, match="open already"):
        await engine.open(sid(1), "c", WHOLE, 1, 100)
    with pytest.raises(Overloaded, match="too many sessions"):
        await engine.open(sid(2), "c", WHOLE, 1, 100)
    with pytest.raises(Overloaded, match="queue is full"):
        await engine.step(sid(1), step_header((0, 0, 11)), tokens(11))
    with pytest.raises(BadRequest, match="not open"):
        await engine.step(sid(2), step_header((0, 0, 1)), tokens(1))

"""The scheduler under a virtual clock: budgets, conservation, fairness between clients, and that everything ends."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from compute.runner.scheduler import Iteration, Scheduler, SchedulerOptions, StepKey, Work
from compute.types import Span

SPANS = (Span(0, 4), Span(1, 3))
OPTIONS = SchedulerOptions(batch_tokens_max=16, prefill_chunk_tokens=6, training_wait_s=1.0)


@dataclass
class Expected:
    """A step as the naive book-keeper sees it: tokens done of every row."""

    work: Work
    done: list[int] = field(default_factory=list)

    @property
    def left(self) -> int:
        return self.work.n_tokens - sum(self.done)


class SchedulerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(OPTIONS)
        self.waiting: dict[StepKey, Expected] = {}
        self.training: dict[StepKey, float] = {}
        self.now_s = 0.0
        self.keys = 0
        self.slice_was_last = False

    def key(self) -> StepKey:
        self.keys += 1
        return StepKey(self.keys)

    @rule(
        client=st.sampled_from("abc"),
        span=st.sampled_from(SPANS),
        rows=st.one_of(
            st.just((1,)),
            st.integers(1, 20).map(lambda n: (1,) * n),
            st.lists(st.integers(1, 40), min_size=1, max_size=4).map(tuple),
        ),
    )
    def submit(self, client: str, span: Span, rows: tuple[int, ...]) -> None:
        work = Work(self.key(), client, span, rows)
        self.scheduler.submit(work)
        self.waiting[work.key] = Expected(work, [0] * len(rows))

    @rule()
    def submit_training(self) -> None:
        key = self.key()
        self.scheduler.submit_training(key, self.now_s)
        self.training[key] = self.now_s

    @precondition(lambda self: self.waiting or self.training)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted([*self.waiting, *self.training])))
        self.scheduler.cancel(key)
        self.waiting.pop(key, None)
        self.training.pop(key, None)

    @rule(passed_s=st.sampled_from([0.0, 0.1, 0.7, 2.0]))
    def plan(self, passed_s: float) -> None:
        self.now_s += passed_s
        self.check(self.scheduler.plan(self.now_s))

    def check(self, iteration: Iteration | None) -> None:
        """An iteration keeps every promise; the books are brought up to date."""
        if iteration is None:
            assert not self.waiting
            assert not self.training
        elif iteration.training is not None:
            self.check_slice(iteration)
        else:
            self.check_batch(iteration)
        self.slice_was_last = iteration is not None and iteration.training is not None

    def check_slice(self, iteration: Iteration) -> None:
        assert iteration.training is not None
        assert not iteration.pieces
        since_s = self.training.pop(iteration.training)
        assert since_s == min([since_s, *self.training.values()])
        if self.waiting:
            assert self.now_s - since_s >= OPTIONS.training_wait_s
            assert not self.slice_was_last, "two slices in a row while a step waits"

    def check_batch(self, iteration: Iteration) -> None:
        decode = {k: e for k, e in self.waiting.items() if e.work.is_decode and e.work.span == iteration.span}
        prefill = {k for k, e in self.waiting.items() if not e.work.is_decode and e.work.span == iteration.span}
        room = OPTIONS.batch_tokens_max - (OPTIONS.prefill_chunk_tokens if prefill else 0)
        ready = sum(e.left for e in decode.values())
        taken = sum(p.n_tokens for p in iteration.pieces if p.key in decode)
        assert taken == min(ready, room), "all ready decode tokens, as far as they fit"
        assert sum(p.n_tokens for p in iteration.pieces if p.key in prefill) <= OPTIONS.prefill_chunk_tokens
        assert 0 < iteration.n_tokens <= OPTIONS.batch_tokens_max
        assert not prefill or any(p.key in prefill for p in iteration.pieces), "no prefill is put off for ever"
        for piece in iteration.pieces:
            expected = self.waiting[piece.key]
            assert expected.work.span == iteration.span
            assert piece.n_tokens > 0
            assert piece.start == expected.done[piece.row], "tokens of a row in order, none twice"
            chunk = OPTIONS.prefill_chunk_tokens
            if piece.key in prefill:
                end = piece.start + piece.n_tokens
                assert end == min(expected.work.rows[piece.row], (piece.start // chunk + 1) * chunk), "cut on the grid"
            expected.done[piece.row] += piece.n_tokens
            assert expected.done[piece.row] <= expected.work.rows[piece.row]
        for key in {piece.key for piece in iteration.pieces}:
            if self.waiting[key].left == 0:
                del self.waiting[key]

    @invariant()
    def tokens_are_conserved(self) -> None:
        assert self.scheduler.queued_tokens == sum(e.left for e in self.waiting.values())
        assert len(self.scheduler) == len(self.waiting) + len(self.training)

    def teardown(self) -> None:
        """When nothing new comes, everything ends, soon."""
        bound = sum(e.left for e in self.waiting.values()) + len(self.training) + 1
        for _ in range(bound):
            self.now_s += 0.01
            self.check(self.scheduler.plan(self.now_s))
        assert not self.waiting
        assert not self.training


TestScheduler = SchedulerMachine.TestCase
TestScheduler.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)


def _served(scheduler: Scheduler, owners: dict[StepKey, str], iterations: int) -> dict[str, int]:
    served = dict.fromkeys(owners.values(), 0)
    for _ in range(iterations):
        iteration = scheduler.plan(0.0)
        assert iteration is not None
        for piece in iteration.pieces:
            served[owners[piece.key]] += piece.n_tokens
    return served


def test_a_client_with_many_prompts_gets_no_more_than_one_with_a_single_prompt() -> None:
    scheduler = Scheduler(OPTIONS)
    owners = {StepKey(i): "greedy" for i in range(30)} | {StepKey(99): "modest"}
    for key, client in owners.items():
        scheduler.submit(Work(key, client, SPANS[0], (500,)))
    served = _served(scheduler, owners, 40)
    assert abs(served["greedy"] - served["modest"]) <= OPTIONS.prefill_chunk_tokens


def test_a_client_with_many_decoding_sessions_gets_no_more_when_they_do_not_all_fit() -> None:
    """Every session sends its next token as soon as it has one."""
    scheduler = Scheduler(OPTIONS)
    owners = {StepKey(i): "greedy" for i in range(200)} | {StepKey(i): "modest" for i in range(200, 204)}
    for key, client in owners.items():
        scheduler.submit(Work(key, client, SPANS[0], (1,)))
    served = {"greedy": 0, "modest": 0}
    for _ in range(50):
        iteration = scheduler.plan(0.0)
        assert iteration is not None
        for piece in iteration.pieces:
            served[owners[piece.key]] += 1
            scheduler.submit(Work(piece.key, owners[piece.key], SPANS[0], (1,)))
    assert served["modest"] == 50 * 4, "it asks for less than its half and gets all of it"


def test_a_pause_saves_nothing_up() -> None:
    scheduler = Scheduler(OPTIONS)
    owners = {StepKey(0): "steady", StepKey(1): "late"}
    scheduler.submit(Work(StepKey(0), "steady", SPANS[0], (10_000,)))
    for _ in range(50):
        scheduler.plan(0.0)
    scheduler.submit(Work(StepKey(1), "late", SPANS[0], (10_000,)))
    served = _served(scheduler, owners, 20)
    assert abs(served["steady"] - served["late"]) <= OPTIONS.prefill_chunk_tokens


def test_training_waits_for_quiet_and_then_no_longer_than_its_limit() -> None:
    scheduler = Scheduler(OPTIONS)
    scheduler.submit_training(StepKey(1), 0.0)
    scheduler.submit(Work(StepKey(2), "a", SPANS[0], (1_000,)))
    first = scheduler.plan(0.5)
    second = scheduler.plan(1.0)
    assert first is not None
    assert second is not None
    assert first.training is None
    assert second.training == 1


def test_sessions_on_different_blocks_take_turns() -> None:
    scheduler = Scheduler(OPTIONS)
    scheduler.submit(Work(StepKey(1), "a", SPANS[0], (100,)))
    scheduler.submit(Work(StepKey(2), "b", SPANS[1], (100,)))
    spans = [iteration.span for _ in range(4) if (iteration := scheduler.plan(0.0)) is not None]
    assert spans == [SPANS[0], SPANS[1], SPANS[0], SPANS[1]]


def test_a_step_that_is_empty_or_known_is_refused() -> None:
    scheduler = Scheduler(OPTIONS)
    with pytest.raises(ValueError, match="at least one token"):
        scheduler.submit(Work(StepKey(1), "a", SPANS[0], ()))
    scheduler.submit(Work(StepKey(1), "a", SPANS[0], (1,)))
    with pytest.raises(ValueError, match="key of its own"):
        scheduler.submit(Work(StepKey(1), "a", SPANS[0], (1,)))


def test_budgets_that_leave_decoding_no_room_are_refused() -> None:
    with pytest.raises(ValueError, match="leave room"):
        SchedulerOptions(batch_tokens_max=8, prefill_chunk_tokens=8)

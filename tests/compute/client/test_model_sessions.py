"""Several calls on one session: reuse, roll-back, interruption."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compute.client.cache import CACHE_KEYWORD, RemoteCache
from compute.errors import BadRequest

GREEDY: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False}


def test_history_that_differs_is_rolled_back_to_the_common_prefix(pair, prompts):
    other = prompts[:1].clone()
    other[0, 7:] = prompts[1, 7:]
    with pair.distributed.inference_session(64) as session:
        pair.distributed.generate(prompts[:1], session=session, **GREEDY)
        local = pair.source.sessions[0]
        sent = local.tokens_sent
        got = pair.distributed.generate(other, session=session, **GREEDY)
    assert local.tokens_sent - sent == 4 + 7
    assert torch.equal(got, pair.whole.generate(other, **GREEDY))


def test_the_same_prompt_again_computes_only_its_last_token(pair, prompts):
    with pair.distributed.inference_session(64) as session:
        first = pair.distributed.generate(prompts[:1], session=session, **GREEDY)
        sent = pair.source.sessions[0].tokens_sent
        second = pair.distributed.generate(prompts[:1], session=session, **GREEDY)
    assert pair.source.sessions[0].tokens_sent - sent == 1 + 7
    assert torch.equal(first, second)


def test_batch_then_one_row_of_it(pair, padded):
    with pair.distributed.inference_session(64) as session:
        batch = pair.distributed.generate(**padded, session=session, **GREEDY)
        row = batch[1:2, 4:]
        sent = pair.source.sessions[0].tokens_sent
        got = pair.distributed.generate(row, session=session, **GREEDY)
        assert pair.source.sessions[0].tokens_sent - sent == 8
        assert len(session.lanes) == 1
    assert torch.equal(got, pair.whole.generate(row, **GREEDY))


def test_growing_padded_batch(pair, padded, prompts):
    with pair.distributed.inference_session(64) as session:
        batch = pair.distributed.generate(**padded, session=session, **GREEDY)
        ids = torch.cat([batch, prompts[:, :3]], dim=1)
        mask = torch.cat([padded["attention_mask"], torch.ones(3, 11, dtype=torch.long)], dim=1)
        sent = pair.source.sessions[0].tokens_sent
        got = pair.distributed.generate(ids, attention_mask=mask, session=session, **GREEDY)
        assert pair.source.sessions[0].tokens_sent - sent == 3 * (1 + 3 + 7)
    assert torch.equal(got, pair.whole.generate(ids, attention_mask=mask, **GREEDY))


def test_beams_after_greedy_after_beams(pair, prompts):
    beams = {"max_new_tokens": 8, "do_sample": False, "num_beams": 3}
    with pair.distributed.inference_session(64) as session:
        ids = prompts[:2]
        for kwargs in (beams, GREEDY, beams):
            got = pair.distributed.generate(ids, session=session, **kwargs)
            assert torch.equal(got, pair.whole.generate(ids, **kwargs))
            ids = torch.cat([got, prompts[:2, :2]], dim=1)


@given(data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sequence_of_calls_equals_calls_on_their_own(pair, data):
    with pair.distributed.inference_session(40) as session:
        for _ in range(data.draw(st.integers(2, 4), label="calls")):
            n_rows = data.draw(st.integers(1, 3), label="rows")
            # Two ids only, so that prompts often share a prefix.
            rows = [data.draw(st.lists(st.integers(3, 4), min_size=1, max_size=8)) for _ in range(n_rows)]
            longest = max(map(len, rows))
            ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
            kwargs: dict[str, Any] = {
                "attention_mask": (ids != 0).long(),
                "max_new_tokens": data.draw(st.integers(1, 4)),
                "num_beams": data.draw(st.sampled_from([1, 2])),
                "do_sample": False,
            }
            got = pair.distributed.generate(ids, session=session, **kwargs)
            assert torch.equal(got, pair.whole.generate(ids, **kwargs))


class TestInterruption:
    def test_ctrl_c_closes_the_temporary_session(self, pair, prompts):
        pair.source.fault = interrupt_at_step(3)
        with pytest.raises(KeyboardInterrupt):
            pair.distributed.generate(prompts, **GREEDY)
        assert pair.source.sessions[0].closed

    @pytest.mark.parametrize("step", [1, 4])
    def test_a_session_goes_on_after_ctrl_c(self, pair, prompts, step):
        with pair.distributed.inference_session(64) as session:
            pair.source.sessions[0].fault = interrupt_at_step(step)
            with pytest.raises(KeyboardInterrupt):
                pair.distributed.generate(prompts, session=session, **GREEDY)
            pair.source.sessions[0].fault = lambda: None
            got = pair.distributed.generate(prompts, session=session, **GREEDY)
        assert torch.equal(got, pair.whole.generate(prompts, **GREEDY))

    def test_a_session_that_ctrl_c_closed_below_is_opened_anew(self, pair, prompts):
        with pair.distributed.inference_session(64) as session:
            pair.distributed.generate(prompts, session=session, **GREEDY)
            pair.source.sessions[0].close()
            got = pair.distributed.generate(prompts, session=session, **GREEDY)
        assert torch.equal(got, pair.whole.generate(prompts, **GREEDY))
        assert len(pair.source.sessions) == 2

    def test_what_was_computed_before_ctrl_c_is_not_sent_again(self, pair, prompts):
        with pair.distributed.inference_session(64) as session:
            local = pair.source.sessions[0]
            local.fault = interrupt_at_step(4)
            with pytest.raises(KeyboardInterrupt):
                pair.distributed.generate(prompts[:1], session=session, **GREEDY)
            local.fault = lambda: None
            sent = local.tokens_sent
            pair.distributed.generate(prompts[:1], session=session, **GREEDY)
            assert local.tokens_sent - sent == 1 + 7


class TestRefusals:
    def test_a_session_that_is_too_small(self, pair, prompts):
        with (
            pair.distributed.inference_session(12) as session,
            pytest.raises(BadRequest, match="larger max_tokens"),
        ):
            pair.distributed.generate(prompts, session=session, **GREEDY)

    def test_a_closed_session(self, pair, prompts):
        with pair.distributed.inference_session(64) as session:
            pass
        with pytest.raises(BadRequest, match="closed"):
            pair.distributed.generate(prompts, session=session, **GREEDY)

    def test_a_cache_whose_session_went_on(self, pair, prompts):
        with pair.distributed.inference_session(64) as session:
            old = RemoteCache(session)
            pair.distributed(prompts, **{CACHE_KEYWORD: old})
            pair.distributed.generate(prompts, session=session, **GREEDY)
            with pytest.raises(BadRequest, match="went on"):
                pair.distributed(prompts[:, :1], **{CACHE_KEYWORD: old})

    def test_another_number_of_rows(self, pair, prompts):
        with pair.distributed.inference_session(64) as session:
            cache = RemoteCache(session)
            pair.distributed(prompts, **{CACHE_KEYWORD: cache})
            with pytest.raises(BadRequest, match="rows"):
                pair.distributed(prompts[:2, :1], **{CACHE_KEYWORD: cache})

    def test_session_beside_a_cache(self, pair, prompts):
        with pair.distributed.inference_session(64) as session, pytest.raises(BadRequest, match="leave one"):
            pair.distributed.generate(prompts, session=session, **{CACHE_KEYWORD: RemoteCache(session)}, **GREEDY)

    def test_session_without_cache(self, pair, prompts):
        with pair.distributed.inference_session(64) as session, pytest.raises(BadRequest, match="use_cache"):
            pair.distributed.generate(prompts, session=session, use_cache=False, **GREEDY)


class TestCacheByHand:
    def test_steps_of_one_token_equal_the_whole_forward(self, pair, prompts):
        with pair.distributed.inference_session(64) as session:
            cache = RemoteCache(session)
            parts = [prompts[:, :6], *prompts[:, 6:].split(1, dim=1)]
            logits = [pair.distributed(part, **{CACHE_KEYWORD: cache}).logits for part in parts]
        torch.testing.assert_close(torch.cat(logits, 1), pair.whole(prompts).logits, rtol=1e-4, atol=1e-4)

    def test_the_older_keyword(self, pair, prompts):
        with pair.distributed.inference_session(64) as session:
            cache = RemoteCache(session)
            pair.distributed(prompts[:, :6], past_key_values=cache)
            got = pair.distributed(prompts[:, 6:], past_key_values=cache).logits
        torch.testing.assert_close(got, pair.whole(prompts).logits[:, 6:], rtol=1e-4, atol=1e-4)

    def test_crop_select_and_repeat(self, pair, prompts):
        with pair.distributed.inference_session(64) as session:
            cache = RemoteCache(session)
            pair.distributed(prompts, **{CACHE_KEYWORD: cache})
            cache.crop(-5)
            cache.batch_select_indices(torch.tensor([2, 0]))
            cache.batch_repeat_interleave(2)
            tail = prompts[:, 6:][[2, 1, 0, 1]]
            got = pair.distributed(tail, **{CACHE_KEYWORD: cache}).logits
            assert cache.get_seq_length() == 11
        whole = torch.cat([prompts[[2, 2, 0, 0], :6], tail], dim=1)
        torch.testing.assert_close(got, pair.whole(whole).logits[:, 6:], rtol=1e-4, atol=1e-4)

    def test_crop_to_a_length_is_refused(self, pair):
        with pair.distributed.inference_session(64) as session, pytest.raises(ValueError, match="negative"):
            RemoteCache(session).crop(3)

    def test_reset_starts_over(self, pair, prompts):
        with pair.distributed.inference_session(64) as session:
            cache = RemoteCache(session)
            first = pair.distributed(prompts, **{CACHE_KEYWORD: cache}).logits
            cache.reset()
            again = pair.distributed(prompts, **{CACHE_KEYWORD: cache}).logits
        torch.testing.assert_close(first, again)


def interrupt_at_step(step: int) -> Any:
    """A fault that presses Ctrl-C in the given step, counted from 1."""
    steps = iter(range(1, step + 1))

    def fault() -> None:
        if next(steps) == step:
            raise KeyboardInterrupt

    return fault

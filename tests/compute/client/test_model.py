"""A distributed model generates what the whole model generates."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import StoppingCriteria
from transformers.generation.streamers import BaseStreamer

from compute.errors import BadRequest, UnsupportedModel

GREEDY: dict[str, Any] = {"max_new_tokens": 12, "do_sample": False}


class Collector(BaseStreamer):
    def __init__(self) -> None:
        self.pieces: list[list[int]] = []
        self.ended = False

    def put(self, value: torch.Tensor) -> None:
        self.pieces.append(value.flatten().tolist())

    def end(self) -> None:
        self.ended = True


class StopAtLength(StoppingCriteria):
    def __init__(self, length: int) -> None:
        self.length = length

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        return torch.full((input_ids.shape[0],), input_ids.shape[1] >= self.length)


def assert_same(pair: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
    expected, got = pair.both(*args, **kwargs)
    assert torch.equal(expected, got), f"{expected.tolist()} != {got.tolist()}"
    assert all(session.closed for session in pair.source.sessions)
    return got


class TestEveryFamily:
    def test_greedy(self, any_pair, prompts):
        assert_same(any_pair, prompts[:1], **GREEDY)

    def test_left_padded_batch(self, any_pair, padded):
        assert_same(any_pair, **padded, **GREEDY)

    def test_seeded_sampling(self, any_pair, padded):
        assert_same(any_pair, **padded, max_new_tokens=10, do_sample=True, temperature=1.5, top_k=20, top_p=0.9, seed=5)

    def test_beams(self, any_pair, padded):
        assert_same(any_pair, **padded, max_new_tokens=10, do_sample=False, num_beams=3, num_return_sequences=2)

    def test_plain_forward_of_a_batch(self, any_pair, padded):
        with torch.no_grad():
            expected = any_pair.whole(**padded).logits
        got = any_pair.distributed(**padded)
        kept = padded["attention_mask"].bool()
        torch.testing.assert_close(got.logits[kept], expected[kept], rtol=1e-4, atol=1e-4)

    def test_second_call_on_a_session_sends_only_what_is_new(self, any_pair, prompts):
        with any_pair.distributed.inference_session(max_tokens=64) as session:
            first = any_pair.distributed.generate(prompts[:1], session=session, **GREEDY)
            asked = torch.cat([first, prompts[1:2, :5]], dim=1)
            # An answer may hold the padding token, which generation would take for padding.
            again: dict[str, Any] = {"attention_mask": torch.ones_like(asked), **GREEDY}
            sent = any_pair.source.sessions[0].tokens_sent
            second = any_pair.distributed.generate(asked, session=session, **again)
            # The last token of the first answer was never fed, the last of the second is not either.
            n_answered = second.shape[1] - asked.shape[1]
            assert any_pair.source.sessions[0].tokens_sent - sent == 1 + 5 + n_answered - 1
        assert torch.equal(second, any_pair.whole.generate(asked, **again))


class TestModesOfGeneration:
    def test_beam_sampling(self, pair, padded):
        assert_same(pair, **padded, max_new_tokens=8, do_sample=True, num_beams=3, seed=11)

    def test_several_samples_of_one_prompt_prefill_it_once(self, pair, prompts):
        assert_same(pair, prompts[:1], max_new_tokens=6, do_sample=True, num_return_sequences=4, seed=2)
        rows, fork = pair.source.sessions[0].log[0]
        assert [row.n_tokens for row in rows] == [prompts.shape[1]]
        assert not fork

    def test_beams_prefill_each_prompt_once(self, pair, padded):
        assert_same(pair, **padded, max_new_tokens=4, do_sample=False, num_beams=4)
        rows, _ = pair.source.sessions[0].log[0]
        assert [row.n_tokens for row in rows] == [11, 7, 2]

    def test_long_beam_search_with_early_stopping(self, pair, prompts):
        assert_same(pair, prompts, max_new_tokens=30, do_sample=False, num_beams=4, early_stopping=True)

    def test_streamer_gets_every_token(self, pair, prompts):
        local, remote = Collector(), Collector()
        pair.whole.generate(prompts[:1], streamer=local, **GREEDY)
        pair.distributed.generate(prompts[:1], streamer=remote, **GREEDY)
        assert remote.pieces == local.pieces
        assert remote.ended

    def test_stopping_criteria(self, pair, prompts):
        got = assert_same(pair, prompts, stopping_criteria=[StopAtLength(15)], **GREEDY)
        assert got.shape[1] == 15

    def test_max_length(self, pair, prompts):
        assert assert_same(pair, prompts, max_length=14, do_sample=False).shape[1] == 14
        assert pair.source.sessions[0].max_tokens == 14

    def test_end_of_sequence_of_some_rows(self, pair, prompts):
        answer = pair.whole.generate(prompts, **GREEDY)
        assert_same(pair, prompts, eos_token_id=int(answer[1, 14]), pad_token_id=0, **GREEDY)

    def test_logits_processors(self, pair, prompts):
        assert_same(pair, prompts, repetition_penalty=1.4, no_repeat_ngram_size=2, **GREEDY)

    def test_chunked_prefill(self, pair, padded):
        assert_same(pair, **padded, prefill_chunk_size=4, **GREEDY)

    def test_input_embeddings(self, pair, prompts):
        embeds = pair.whole.get_input_embeddings()(prompts)
        assert_same(pair, inputs_embeds=embeds, **GREEDY)

    def test_without_cache(self, pair, padded):
        assert_same(pair, **padded, max_new_tokens=4, do_sample=False, use_cache=False)

    def test_output_as_a_record(self, pair, prompts):
        kwargs = {"return_dict_in_generate": True, "output_scores": True, **GREEDY}
        expected, got = pair.whole.generate(prompts, **kwargs), pair.distributed.generate(prompts, **kwargs)
        assert torch.equal(expected.sequences, got.sequences)
        torch.testing.assert_close(torch.stack(got.scores), torch.stack(expected.scores), rtol=1e-4, atol=1e-4)

    def test_sliding_windows_shorter_than_the_text(self, pair_of, prompts):
        for family in ("mistral", "gemma2"):
            assert_same(pair_of(family, sliding_window=6), prompts, **GREEDY)

    def test_falcon_with_alibi(self, pair_of, padded):
        assert_same(pair_of("falcon", alibi=True), **padded, **GREEDY)

    def test_prompt_lookup_decoding(self, pair, prompts):
        repeated = prompts[:1].repeat(1, 3)
        assert_same(pair, repeated, prompt_lookup_num_tokens=3, **GREEDY)

    def test_assisted_by_a_local_draft(self, pair, prompts):
        assert_same(pair, prompts[:1], assistant_model=pair.whole, **GREEDY)


class TestForward:
    def test_right_padding(self, pair, prompts):
        mask = torch.ones_like(prompts)
        mask[1, 6:] = 0
        got = pair.distributed(input_ids=prompts, attention_mask=mask).logits
        alone = pair.whole(prompts[1:2, :6]).logits
        torch.testing.assert_close(got[1:2, :6], alone, rtol=1e-4, atol=1e-4)

    def test_positional_arguments_are_the_families_own(self, pair, prompts):
        got = pair.distributed(prompts, torch.ones_like(prompts)).logits
        torch.testing.assert_close(got, pair.whole(prompts).logits, rtol=1e-4, atol=1e-4)

    def test_loss(self, pair, prompts):
        got = pair.distributed(prompts, labels=prompts).loss
        torch.testing.assert_close(got, pair.whole(prompts, labels=prompts).loss, rtol=1e-4, atol=1e-4)

    def test_temporary_session_is_closed(self, pair, prompts):
        pair.distributed(prompts)
        (session,) = pair.source.sessions
        assert session.closed
        assert session.max_tokens == prompts.shape[1]

    def test_plain_forward_hands_out_no_cache(self, pair, prompts):
        assert pair.distributed(prompts).get("cache") is None

    def test_same_rows_are_sent_once(self, pair, prompts):
        pair.distributed(prompts[:1].repeat(5, 1))
        assert pair.source.sessions[0].tokens_sent == prompts.shape[1]


class TestRefusals:
    def test_gradients(self, pair, prompts):
        embeds = torch.randn(1, 4, 32, requires_grad=True)
        with pytest.raises(BadRequest, match="fine-tuning"):
            pair.distributed(inputs_embeds=embeds)
        assert all(session.closed for session in pair.source.sessions)

    @pytest.mark.parametrize("name", ["output_hidden_states", "output_attentions"])
    def test_what_stays_at_the_providers(self, pair, prompts, name):
        with pytest.raises(BadRequest, match=name):
            pair.distributed(prompts, **{name: True})
        assert not pair.source.sessions

    def test_hidden_states_of_generate(self, pair, prompts):
        with pytest.raises(BadRequest, match="output_hidden_states"):
            pair.distributed.generate(prompts, return_dict_in_generate=True, output_hidden_states=True, **GREEDY)

    def test_right_padding_of_generate(self, pair, prompts):
        mask = torch.ones_like(prompts)
        mask[0, -2:] = 0
        with pytest.raises(BadRequest, match="left"):
            pair.distributed.generate(prompts, attention_mask=mask, **GREEDY)

    def test_attention_mask_of_another_shape(self, pair, prompts):
        with pytest.raises(BadRequest, match="attention_mask"):
            pair.distributed(prompts, attention_mask=torch.ones(3, 1, 11, 11))

    def test_positions_that_contradict_the_mask(self, pair, prompts):
        with pytest.raises(BadRequest, match="position_ids"):
            pair.distributed(prompts, position_ids=torch.arange(5, 16)[None])

    def test_use_cache_without_a_session(self, pair, prompts):
        with pytest.raises(BadRequest, match="inference_session"):
            pair.distributed(prompts, use_cache=True)

    def test_a_cache_of_another_kind(self, pair, prompts):
        from transformers import DynamicCache

        from compute.client.cache import CACHE_KEYWORD

        with pytest.raises(BadRequest, match="RemoteCache"):
            pair.distributed(prompts, **{CACHE_KEYWORD: DynamicCache()})

    def test_the_backbone_alone(self, pair, prompts):
        with pytest.raises(BadRequest, match="whole model"):
            pair.distributed.model(prompts, use_cache=False)

    def test_neither_ids_nor_embeddings(self, pair):
        with pytest.raises(BadRequest, match="input_ids"):
            pair.distributed()

    def test_unknown_family(self):
        from transformers import GPT2Config, GPT2LMHeadModel

        from compute.client.distributed import distribute

        model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=11))
        with pytest.raises(UnsupportedModel, match="gpt2"):
            distribute(model, None)  # type: ignore[arg-type]


class TestShape:
    def test_is_still_the_familys_class(self, pair):
        from transformers import LlamaForCausalLM

        assert isinstance(pair.distributed, LlamaForCausalLM)
        assert type(pair.distributed).__name__ == "DistributedLlamaForCausalLM"

    def test_the_original_config_is_left_alone(self, pair):
        assert pair.whole.config._attn_implementation == "sdpa"

    def test_closing_the_model_closes_the_client(self, pair):
        with pair.distributed as model:
            assert model is pair.distributed
        assert pair.source.closed

"""Answers and conversations, with a model that counts instead of thinking."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from compute.errors import BadRequest, Equivocation, NoRoute, Unauthorised
from compute.types import Codec, Span
from peerz_node.conversation import Conversation, converse
from peerz_node.demo import first_difference
from peerz_node.errors import ConfigurationError
from peerz_node.generation import (
    Answer,
    Generator,
    Sampling,
    answer_json,
    describe,
    generate_once,
    route_of,
    swarm_generator,
)
from peerz_node.identity_file import load_key
from peerz_node.settings import Settings

VECTORS = Path(__file__).parents[1] / "vectors" / "evidence.json"
PEER = "/ip4/192.0.2.1/tcp/1/p2p/12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"


class Tokenizer:
    """A token per character."""

    chat_template: str | None = "yes"

    def __call__(self, text: str, **options: Any) -> dict[str, list[int]]:
        return {"input_ids": [ord(c) for c in text]}

    def apply_chat_template(self, messages: list[dict[str, str]], **options: Any) -> str:
        return "".join(f"<{m['role'][0]}>{m['content']}" for m in messages) + "<a>"

    def decode(self, ids: list[int], **options: Any) -> str:
        return "".join(map(chr, ids))


class Session:
    def __init__(self) -> None:
        hops = (SimpleNamespace(peer="12D3KooPeer", span=Span(0, 4)),)
        self.blocks = SimpleNamespace(route=SimpleNamespace(hops=hops))
        self.closed = False

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.closed = True


class Model:
    """Answers `ok1`, `ok2` ..., and keeps what it was asked."""

    config = SimpleNamespace(max_position_embeddings=100)

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.session = Session()
        self.errors: list[BaseException] = []

    def inference_session(self, max_tokens: int) -> Session:
        return self.session

    def generate(self, inputs: torch.Tensor, *, streamer: Any, **options: Any) -> None:
        self.calls.append({"prompt": "".join(map(chr, inputs[0].tolist())), **options})
        streamer.put(inputs)
        if self.errors:
            raise self.errors.pop()
        for character in f"ok{len(self.calls)}":
            streamer.put(torch.tensor([ord(character)]))
        streamer.end()


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def generator(model: Model) -> Generator:
    ticks = iter(range(1000))
    return Generator(model, Tokenizer(), clock=lambda: float(next(ticks)))


def test_a_greedy_run_takes_no_sampling_option(generator: Generator, model: Model) -> None:
    generator.generate([104, 105], Sampling(max_new_tokens=5, greedy=True), lambda piece: None)
    call = model.calls[0]
    assert call["do_sample"] is False
    assert call["temperature"] is None
    assert call["max_new_tokens"] == 5
    assert call["attention_mask"].tolist() == [[1, 1]]


def test_a_seed_makes_sampling_repeatable(generator: Generator) -> None:
    generator.generate([104], Sampling(seed=5), lambda piece: None)
    first = torch.rand(1)
    generator.generate([104], Sampling(seed=5), lambda piece: None)
    assert torch.equal(torch.rand(1), first)


def test_an_answer_is_streamed_timed_and_kept(generator: Generator) -> None:
    pieces: list[str] = []
    answer = generator.generate([104], Sampling(), pieces.append)
    assert pieces == ["o", "k", "1"]
    assert answer.text == "ok1"
    assert answer.token_ids == tuple(b"ok1")
    assert answer.prompt_token_ids == (104,)
    assert (answer.ttft_ms, answer.ms_per_token, answer.tokens_per_s) == (1000.0, 1000.0, 1.0)


def test_the_chat_template_is_used_when_there_is_one_and_it_is_wanted(generator: Generator) -> None:
    assert generator.encode("hi", chat_template=True) == [ord(c) for c in "<u>hi<a>"]
    assert generator.encode("hi", chat_template=False) == [104, 105]
    generator.tokenizer.chat_template = None
    assert generator.encode("hi", chat_template=True) == [104, 105]


def test_an_empty_prompt_is_refused(generator: Generator) -> None:
    with pytest.raises(ConfigurationError, match="prompt is empty"):
        generator.encode("", chat_template=False)


def test_json_has_every_key_that_scripts_rely_on() -> None:
    answer = Answer("hi", (1, 2), (3,), 10.0, 0.0)
    data = answer_json(answer, [{"peer_id": "p", "span": [0, 4]}], Settings(model="m", greedy=True))
    assert set(data) == {
        *("text", "token_ids", "prompt_token_ids", "ttft_ms", "ms_per_token", "tokens_per_s"),
        *("route", "model", "greedy", "seed"),
    }
    assert data["tokens_per_s"] == 0.0


def test_a_route_is_described_by_spans_and_the_end_of_peer_ids() -> None:
    text = describe(Answer("", (1,), (), 5.0, 50.0), [{"peer_id": "12D3KooABCDEF", "span": [0, 4]}])
    assert text == "[1 tokens, 20.0 tokens/s, first after 5 ms; route 0:4 @ABCDEF]"
    assert "this machine" in describe(Answer("", (), (), 0.0, 0.0), [])


def test_a_session_that_is_not_open_has_no_route() -> None:
    assert route_of(SimpleNamespace(blocks=None)) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other", "index"), [([1, 2], [1, 3], 1), ([1, 2], [1, 2, 3], 2), ([1], [2], 0), ([], [], 0)]
)
def test_the_first_token_that_differs_is_found(one: list[int], other: list[int], index: int) -> None:
    answers = [Answer("", tuple(ids), (), 0.0, 0.0) for ids in (one, other)]
    assert first_difference(*answers) == index


def test_a_conversation_hands_all_turns_to_one_session(generator: Generator, model: Model) -> None:
    conversation = Conversation(generator, Sampling(), model.session)  # type: ignore[arg-type]
    conversation.say("a", lambda piece: None)
    conversation.say("b", lambda piece: None)
    assert model.calls[1]["prompt"] == "<u>a<a>ok1<u>b<a>"
    assert all(call["session"] is model.session for call in model.calls)
    conversation.reset()
    conversation.say("c", lambda piece: None)
    assert model.calls[2]["prompt"] == "<u>c<a>"


def test_a_turn_that_fails_is_forgotten(generator: Generator, model: Model) -> None:
    conversation = Conversation(generator, Sampling(), model.session)  # type: ignore[arg-type]
    model.errors.append(BadRequest("too long"))
    with pytest.raises(BadRequest):
        conversation.say("a", lambda piece: None)
    conversation.say("b", lambda piece: None)
    assert model.calls[1]["prompt"] == "<u>b<a>"


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch, generator: Generator) -> Any:
    """Runs a chat with these lines typed."""
    import contextlib
    import io

    def run(*lines: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        converse(Settings(model="m", peer=(PEER,)))

    for module in ("conversation", "generation"):
        monkeypatch.setattr(
            f"peerz_node.{module}.swarm_generator", lambda settings, ends: contextlib.nullcontext(generator)
        )
    return run


def test_a_chat_answers_until_quit(chat: Any, model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    chat("hi", "", "/reset", "/what", "again", "/quit", "never")
    said = capsys.readouterr()
    assert said.out == "ok1\nok2\n"
    assert [call["prompt"] for call in model.calls] == ["<u>hi<a>", "<u>again<a>"]
    assert "[forgotten]" in said.err
    assert "[there is no /what" in said.err
    assert model.session.closed


def test_a_chat_ends_with_its_input(chat: Any, model: Model) -> None:
    chat("hi")
    assert model.session.closed


def test_ctrl_c_stops_an_answer_and_a_refusal_is_shown_and_the_chat_goes_on(
    chat: Any, model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    model.errors += [BadRequest("the session is full"), KeyboardInterrupt()]
    chat("a", "b", "c")
    said = capsys.readouterr()
    assert "[stopped]" in said.err
    assert "[the session is full]" in said.err
    assert said.out.endswith("ok3\n")


def test_a_chat_with_a_private_provider_ends_at_once(chat: Any, model: Model) -> None:
    model.errors.append(Unauthorised("ask its owner"))
    with pytest.raises(Unauthorised):
        chat("a", "b")
    assert len(model.calls) == 1
    assert model.session.closed


def test_a_lost_swarm_ends_a_chat(chat: Any, model: Model) -> None:
    model.errors.append(NoRoute("nobody serves blocks 0:4"))
    with pytest.raises(NoRoute):
        chat("a")
    assert model.session.closed


def test_codec_and_identity_reach_the_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import contextlib
    import json

    import compute.client.model  # noqa: F401 -- or it would be imported here first, and keep the `resolve` patched in
    from compute.models.sources import ModelFiles

    seen: dict[str, Any] = {}

    def from_pretrained(name: str, **more: Any) -> Any:
        seen.update(more, name=name)
        return contextlib.nullcontext()

    monkeypatch.setattr("compute.models.sources.resolve", lambda name: ModelFiles(name, tmp_path))
    monkeypatch.setattr("compute.client.model.AutoDistributedModelForCausalLM.from_pretrained", from_pretrained)
    monkeypatch.setattr("peerz_node.generation.load_tokenizer", lambda files: None)
    settings = Settings(model="m", peer=(PEER,), codec=Codec.BLOCK8, identity=tmp_path / "me.key")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with swarm_generator(settings):
        assert seen["options"].view.codec is Codec.BLOCK8
        proof = json.loads(VECTORS.read_text(encoding="utf-8"))["equivocation"]
        seen["options"].session.evidence.keep(Equivocation("two answers", evidence=bytes.fromhex(proof)))
        assert list((tmp_path / "data" / "peerz" / "evidence").iterdir())
        assert seen["key"].peer_id == load_key(tmp_path / "me.key").peer_id
    with swarm_generator(Settings(model="m", peer=(PEER,))):
        assert seen["options"].view.codec is Codec.RAW
        assert seen["key"] is None


def test_generate_once_prints_json_or_text(chat: Any, model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    settings = Settings(model="m", peer=(PEER,), greedy=True)
    generate_once(settings, "hi", as_json=True, local=False)
    data = json.loads(capsys.readouterr().out)
    assert (data["text"], data["route"]) == ("ok1", [{"peer_id": "12D3KooPeer", "span": [0, 4]}])
    generate_once(settings, "hi", as_json=False, local=False)
    said = capsys.readouterr()
    assert said.out == "ok2\n"
    assert "route 0:4 @ooPeer" in said.err

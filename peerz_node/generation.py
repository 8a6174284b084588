"""Text out of the swarm: one answer, streamed, timed and described."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from peerz_node import lean_imports
from peerz_node.console import spinner
from peerz_node.errors import ConfigurationError
from peerz_node.identity_file import client_key, default_identity_dir
from peerz_node.runtime import quiet_weight_bars
from peerz_node.text_stream import IncrementalText, TokenStream

if TYPE_CHECKING:
    from compute.client.token_session import TokenSession
    from compute.models.sources import ModelFiles
    from peerz_node.settings import Settings


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen."""

    max_new_tokens: int = 256
    greedy: bool = False
    seed: int | None = None
    temperature: float = 0.7
    top_p: float = 0.9

    @classmethod
    def of(cls, settings: Settings) -> Sampling:
        return cls(settings.max_new_tokens, settings.greedy, settings.seed, settings.temperature, settings.top_p)

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for `generate()`; a greedy run takes none of the model's own sampling defaults."""
        if self.greedy:
            return {
                "max_new_tokens": self.max_new_tokens,
                "do_sample": False,
                "temperature": None,
                "top_p": None,
                "top_k": None,
            }
        return {
            "max_new_tokens": self.max_new_tokens,
            "do_sample": True,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": 0,
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """One generation, as `generate --json` prints it."""

    text: str
    token_ids: tuple[int, ...]
    prompt_token_ids: tuple[int, ...]
    ttft_ms: float
    ms_per_token: float

    @property
    def tokens_per_s(self) -> float:
        return 1000 / self.ms_per_token if self.ms_per_token else 0.0


class Generator:
    """A causal model with its tokenizer: the swarm's or a local one, for this class makes no difference."""

    def __init__(self, model: Any, tokenizer: Any, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self._clock = clock

    def encode(self, prompt: str, *, chat_template: bool) -> list[int]:
        """Token ids of `prompt`, as a user's message in the model's chat format unless that is unwanted or missing."""
        if chat_template and self.tokenizer.chat_template:
            return self.encode_messages([{"role": "user", "content": prompt}])
        ids = list(self.tokenizer(prompt)["input_ids"])
        if not ids:
            raise ConfigurationError("the prompt is empty; write something to continue")
        return ids

    def encode_messages(self, messages: Sequence[dict[str, str]]) -> list[int]:
        text = self.tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False)
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, show: Callable[[str], None], **more: Any
    ) -> Answer:
        """Generates after `prompt_ids`, handing text to `show` as it comes. `more` goes to the model."""
        import torch

        if sampling.seed is not None:
            torch.manual_seed(sampling.seed)
        stream = TokenStream(IncrementalText(self._decode), self._clock, show)
        inputs = torch.tensor([list(prompt_ids)])
        self.model.generate(
            inputs, attention_mask=torch.ones_like(inputs), streamer=stream, **sampling.arguments(), **more
        )
        return Answer(
            text=self._decode(stream.token_ids),
            token_ids=tuple(stream.token_ids),
            prompt_token_ids=tuple(prompt_ids),
            ttft_ms=stream.ttft_s * 1000,
            ms_per_token=stream.s_per_token * 1000,
        )

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))


def required_model(settings: Settings) -> str:
    """The model's name. Raises ConfigurationError when none was given."""
    if settings.model is None:
        raise ConfigurationError("no model was named; add --model, for example --model smollm2-135m")
    return settings.model


def required_peers(settings: Settings) -> list[str]:
    """Addresses to join the swarm by. Raises ConfigurationError when none was given."""
    if not settings.peer:
        raise ConfigurationError("no peer was given; add --peer ADDR, the address that a provider printed")
    return list(settings.peer)


def load_tokenizer(files: ModelFiles) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(files.directory, local_files_only=True)


@contextmanager
def swarm_generator(settings: Settings, ends: Mapping[int, int] | None = None) -> Iterator[Generator]:
    """A generator over the swarm that `settings.peer` leads to; the connection ends with the context.

    Args:
        ends: as `lean_imports.load` has it.
    """
    name, peers = required_model(settings), required_peers(settings)
    lean_imports.load("compute.client.model", "compute.client.swarm_client", ends=ends)
    from compute.client.contracts import SessionOptions
    from compute.client.evidence import EvidenceStore
    from compute.client.model import AutoDistributedModelForCausalLM
    from compute.client.swarm_client import ClientOptions
    from compute.client.swarm_view import ViewOptions
    from compute.models.sources import resolve

    quiet_weight_bars()
    files = resolve(name)
    evidence = EvidenceStore(default_identity_dir() / "evidence")  # made with the first lie
    options = ClientOptions(view=ViewOptions(codec=settings.codec), session=SessionOptions(evidence=evidence))
    with (
        client_key(settings.identity) as key,
        AutoDistributedModelForCausalLM.from_pretrained(
            files.name, initial_peers=peers, key=key, options=options
        ) as model,
    ):
        yield Generator(model, load_tokenizer(files))


@contextmanager
def local_generator(settings: Settings, ends: Mapping[int, int] | None = None) -> Iterator[Generator]:
    """A generator over the whole stock model in this process. `ends` as for `swarm_generator`."""
    name = required_model(settings)
    lean_imports.load("compute.models.loading", ends=ends)
    import torch

    from compute.models.loading import load_local_model
    from compute.models.sources import resolve

    files = resolve(name)
    quiet_weight_bars()
    yield Generator(load_local_model(files, torch.float32), load_tokenizer(files))


def generate_once(settings: Settings, prompt: str, *, as_json: bool, local: bool) -> None:
    """Prints one answer: its text as it comes, or one JSON object at the end."""
    with ExitStack() as stack:
        with spinner("connecting", enabled=not as_json):
            open_generator = local_generator if local else swarm_generator
            generator = stack.enter_context(open_generator(settings, lean_imports.ENDS))
        ids = generator.encode(prompt, chat_template=not settings.no_chat_template)
        show = show_nothing if as_json else show_text
        route: list[dict[str, Any]] = []
        if local:
            answer = generator.generate(ids, Sampling.of(settings), show)
        else:
            answer, route = answer_with_route(generator, ids, Sampling.of(settings), show)
    if as_json:
        click.echo(json.dumps(answer_json(answer, route, settings)))
    else:
        click.echo()
        click.echo(describe(answer, route), err=True)


def answer_with_route(
    generator: Generator, prompt_ids: Sequence[int], sampling: Sampling, show: Callable[[str], None]
) -> tuple[Answer, list[dict[str, Any]]]:
    """One answer in a session of its own, and the route that the session had at the end."""
    with generator.model.inference_session(len(prompt_ids) + sampling.max_new_tokens) as session:
        answer = generator.generate(prompt_ids, sampling, show, session=session)
        return answer, route_of(session)


def route_of(session: TokenSession) -> list[dict[str, Any]]:
    """The hops of a session's route, first to last: peer id and `[start, end]`. Empty while it is not open."""
    blocks: Any = session.blocks
    if blocks is None:
        return []
    return [{"peer_id": str(hop.peer), "span": [hop.span.start, hop.span.end]} for hop in blocks.route.hops]


def show_text(piece: str) -> None:
    click.echo(piece, nl=False)


def show_nothing(piece: str) -> None:
    """Takes text that only the final JSON will show."""


def answer_json(answer: Answer, route: Sequence[dict[str, Any]], settings: Settings) -> dict[str, Any]:
    """What `generate --json` prints; a script may rely on every key."""
    return {
        **asdict(answer),
        "tokens_per_s": answer.tokens_per_s,
        "route": list(route),
        "model": settings.model,
        "greedy": settings.greedy,
        "seed": settings.seed,
    }


def describe(answer: Answer, route: Sequence[dict[str, Any]]) -> str:
    """The line below an answer: how many tokens, how fast, through whom."""
    hops = " -> ".join(f"{hop['span'][0]}:{hop['span'][1]} @{hop['peer_id'][-6:]}" for hop in route) or "this machine"
    return (
        f"[{len(answer.token_ids)} tokens, {answer.tokens_per_s:.1f} tokens/s, "
        f"first after {answer.ttft_ms:.0f} ms; route {hops}]"
    )

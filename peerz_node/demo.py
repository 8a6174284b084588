"""The one-machine demo: two providers as processes of their own, a generation through them, the same tokens alone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from peerz_node.children import NodeProcess, close_all
from peerz_node.console import spinner
from peerz_node.errors import TokensDiffer
from peerz_node.generation import (
    Answer,
    Sampling,
    answer_with_route,
    describe,
    local_generator,
    show_nothing,
    show_text,
    swarm_generator,
)
from peerz_node.models import fetch
from peerz_node.settings import Settings, load_settings

MODEL = "smollm2-135m"
SPANS = ("0:15", "15:30")
READY_TIMEOUT_S = 120.0


def demonstrate(prompt: str, max_new_tokens: int) -> None:
    """Runs the demo and says whether the swarm's greedy tokens are those of the local model.

    Raises TokensDiffer when they are not. Ends the providers in every case.
    """
    files = fetch(MODEL)
    click.echo(f"model      {files.name} in {files.directory}")
    sampling = Sampling(max_new_tokens=max_new_tokens, greedy=True)
    with tempfile.TemporaryDirectory(prefix="peerz-run-") as directory, providers(Path(directory)) as addresses:
        settings = load_settings(None, {"model": MODEL, "peer": tuple(addresses), "greedy": True})
        settings = settings.model_copy(update={"identity": None})  # that of a provider which may run beside this
        swarm = _through_the_swarm(settings, prompt, sampling)
    with spinner("the same on this machine alone"):
        local = _alone(settings, prompt, sampling)
    if swarm.token_ids != local.token_ids:
        raise TokensDiffer(
            f"the swarm's tokens differ from the local model's from token {first_difference(swarm, local)} on; "
            "please report this with your CPU's name"
        )
    click.echo(
        f"check      all {len(local.token_ids)} greedy tokens equal those of the local model "
        f"({local.tokens_per_s:.1f} tokens/s there)"
    )


@contextmanager
def providers(directory: Path) -> Iterator[list[str]]:
    """Addresses of two providers that cover the demo model; they are gone when the context ends."""
    nodes: list[NodeProcess] = []
    try:
        with spinner("starting two providers"):
            for n, span in enumerate(SPANS):
                nodes.append(_start(directory, n, span, peer=None if n == 0 else _address(nodes[0])))
            facts = [node.wait_ready(READY_TIMEOUT_S) for node in nodes]
        for node, fact in zip(nodes, facts, strict=True):
            start, end = fact["span"]
            click.echo(f"provider   blocks {start}:{end}, process {node.pid}, {fact['addresses'][0]}")
        yield [fact["addresses"][0] for fact in facts]
    finally:
        close_all(nodes)


def _address(node: NodeProcess) -> str:
    return str(node.wait_ready(READY_TIMEOUT_S)["addresses"][0])


def _start(directory: Path, n: int, span: str, peer: str | None) -> NodeProcess:
    arguments = ["--compute", "--model", MODEL, "--blocks", span, "--precision", "fp32"]
    arguments += ["--listen", "/ip4/127.0.0.1/tcp/0", "--identity", str(directory / f"node-{n}.key")]
    if peer is not None:
        arguments += ["--peer", peer]
    return NodeProcess(arguments, log=directory / f"node-{n}.log", ready_file=directory / f"node-{n}.json")


def _through_the_swarm(settings: Settings, prompt: str, sampling: Sampling) -> Answer:
    with swarm_generator(settings) as generator:
        ids = generator.encode(prompt, chat_template=True)
        click.echo(f"\nyou        {prompt}\nanswer     ", nl=False)
        answer, route = answer_with_route(generator, ids, sampling, show_text)
        click.echo("\n\nspeed      " + describe(answer, route))
        return answer


def _alone(settings: Settings, prompt: str, sampling: Sampling) -> Answer:
    with local_generator(settings) as generator:
        return generator.generate(generator.encode(prompt, chat_template=True), sampling, show_nothing)


def first_difference(one: Answer, other: Answer) -> int:
    """Index of the first token that differs."""
    pairs = zip(one.token_ids, other.token_ids, strict=False)
    shorter = min(len(one.token_ids), len(other.token_ids))
    return next((i for i, (a, b) in enumerate(pairs) if a != b), shorter)

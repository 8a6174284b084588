"""Options that several commands share: one name, one help text, one meaning."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from compute.types import Codec, Precision, Span
from peerz_node.sizes import parse_bytes

F = TypeVar("F", bound=Callable[..., Any])


def span(value: str) -> Span:
    """`START:END`, as Span: a type of click's."""
    try:
        return Span.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def size(value: str) -> int:
    """A size such as 2GiB, as a number of bytes: a type of click's."""
    try:
        return parse_bytes(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _stack(*options: Callable[[F], F]) -> Callable[[F], F]:
    def apply(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return apply


model = click.option("--model", metavar="NAME", help="A demo name, a directory, or a hub id (organisation/name).")
peer = click.option(
    "--peer", multiple=True, metavar="ADDR", help="Address of a running node, as it printed it. May be repeated."
)
chain = click.option("--chain", metavar="URL", help="A chain's JSON-RPC.  [default: ws://127.0.0.1:9944]")
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text for people.")
identity = click.option(
    "--identity",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="Key file, made when absent.  [default: of a provider ~/.local/share/peerz/node.key, else a new key each run]",
)
codec = click.option(
    "--codec",
    type=click.Choice([codec.name.lower() for codec in Codec]),
    help="How hidden states travel: raw as they are, block8 in a quarter of the bytes, rounded.  [default: raw]",
)
ready_file = click.option(
    "--ready-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="Write one JSON object there (pid, peer id, addresses ...) once it serves.",
)

common = _stack(
    click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="PEERZ_CONFIG",
        metavar="PATH",
        help="Settings in TOML.  [default: ~/.config/peerz/config.toml]",
    ),
    click.option("--debug", is_flag=True, envvar="PEERZ_DEBUG", help="Show tracebacks and libraries' warnings."),
    click.option("--log-json", is_flag=True, default=None, help="Write logs as JSON lines (to stderr)."),
)

provider = _stack(
    click.option("--blocks", type=span, metavar="A:B", help="Blocks to serve, B excluded.  [default: most needed]"),
    click.option(
        "--listen",
        multiple=True,
        metavar="ADDR",
        help="Multiaddress to listen on. May be repeated.  [default: /ip4/0.0.0.0/tcp/0, any free port]",
    ),
    click.option(
        "--precision",
        type=click.Choice([p.value for p in Precision]),
        help="How weights are held; auto measures at start.  [default: fp32]",
    ),
    click.option("--cache-bytes", type=size, metavar="N", help="Bound on all sessions' keys and values, e.g. 2GiB."),
    ready_file,
    click.option(
        "--allow",
        multiple=True,
        metavar="PEER_ID",
        help="Serve this peer, and nobody who is not named. May be repeated.  [default: everybody]",
    ),
    click.option(
        "--threads",
        type=click.IntRange(1, 1024),
        metavar="N",
        help="Compute threads.  [default: the cores that are free at start]",
    ),
    click.option("--device", metavar="D", help="cpu, cuda, cuda:1, mps.  [default: cpu]"),
    click.option(
        "--drain-timeout",
        type=click.FloatRange(0, 86_400),
        metavar="S",
        help="On SIGTERM, seconds for running sessions to finish.  [default: 30]",
    ),
)

sampling = _stack(
    click.option(
        "--max-new-tokens", type=click.IntRange(1), metavar="N", help="Most tokens to generate.  [default: 256]"
    ),
    click.option("--greedy", is_flag=True, default=None, help="Always take the likeliest token."),
    click.option("--seed", type=click.IntRange(0), metavar="N", help="Make sampling repeatable."),
    click.option(
        "--temperature", type=click.FloatRange(0, 100, min_open=True), metavar="T", help="Of sampling.  [default: 0.7]"
    ),
    click.option(
        "--top-p", type=click.FloatRange(0, 1, min_open=True), metavar="P", help="Nucleus of sampling.  [default: 0.9]"
    ),
)
no_chat_template = click.option(
    "--no-chat-template",
    is_flag=True,
    default=None,
    help="Continue the text as it stands, without the model's chat format.",
)

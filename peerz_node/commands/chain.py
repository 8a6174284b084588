"""`peerz-node chain`: a chain on this machine, for development and tests."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

from compute.errors import CallerError
from peerz_node import options
from peerz_node.invocation import Invocation


@click.group()
def chain() -> None:
    """Run a development chain, look at one, save its state."""


def _seal(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    from chain_client.devchain.seal import Seal

    try:
        Seal.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return value


def _block(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    if value not in ("best", "finalised") and not re.fullmatch("[0-9]{1,10}", value):
        raise click.BadParameter("write best, finalised, or a block number")
    return value


@chain.command("run", short_help="Run a development chain on this machine.")
@click.option(
    "--seal",
    default="instant",
    callback=_seal,
    metavar="HOW",
    help="When blocks are made: instant (with each transaction), interval:2s, manual.  [default: instant]",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep the chain there, and go on with the one that is there.  [default: in memory]",
)
@click.option("--port", type=click.IntRange(0, 65_535), metavar="N", help="0 takes any free one.  [default: 9944]")
@options.ready_file
@options.common
@click.pass_obj
def run(
    invocation: Invocation,
    /,
    seal: str,
    data: Path | None,
    port: int | None,
    ready_file: Path | None,
    config: Any,
    debug: bool,
    **given: Any,
) -> None:
    """Run a chain of one author on 127.0.0.1, with JSON-RPC over WebSocket and HTTP.

    It executes the runtime that a network runs, and finalises every block at once. Its accounts are those that
    everybody has the keys of: it is for development and tests.
    """
    settings = invocation.overlaid(config, debug).settings(**given)
    from peerz_node.chain_node import ChainRun, run_chain
    from peerz_node.chain_rpc import DEFAULT_PORT

    run_chain(ChainRun(seal, data, DEFAULT_PORT if port is None else port, ready_file, settings.log_json))


@chain.command("status", short_help="How a chain is doing.")
@options.chain
@options.as_json
@options.common
@click.pass_obj
def status(invocation: Invocation, /, as_json: bool, config: Any, debug: bool, **given: Any) -> None:
    """Show the best and the finalised block, the runtime and how many transactions wait."""
    settings = invocation.overlaid(config, debug).settings(**given)
    from peerz_node.chain_rpc import DEFAULT_CHAIN
    from peerz_node.chain_view import read_status

    found = read_status(settings.chain or DEFAULT_CHAIN)
    click.echo(json.dumps(found.as_json()) if as_json else "\n".join(found.lines()))


@chain.command("export", short_help="Save a chain's state as a raw chain specification.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), default="-")
@click.option(
    "--at",
    default="finalised",
    callback=_block,
    metavar="BLOCK",
    help="best, finalised or a block number.  [default: finalised]",
)
@options.chain
@options.common
@click.pass_obj
def export(invocation: Invocation, /, file: Path, at: str, config: Any, debug: bool, **given: Any) -> None:
    """Write the whole state after a block to FILE (default: stdout), as a raw chain specification in JSON.

    A polkadot-sdk node can begin a chain with it.
    """
    settings = invocation.overlaid(config, debug).settings(**given)
    from peerz_node.chain_rpc import DEFAULT_CHAIN
    from peerz_node.chain_view import export_spec

    spec = export_spec(settings.chain or DEFAULT_CHAIN, at)
    text = json.dumps(spec, indent=1) + "\n"
    if str(file) == "-":
        click.echo(text, nl=False)
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CallerError(f"{file} cannot be written ({error.strerror}); choose another file") from None
    click.echo(f"{len(spec['genesis']['raw']['top']):,} keys are in {file}", err=True)

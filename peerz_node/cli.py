"""`peerz-node`: the top command. Thin: options in, one call out. Heavy imports wait until a command runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from peerz_node import options
from peerz_node.commands.account import account
from peerz_node.commands.bench import bench
from peerz_node.commands.chain import chain
from peerz_node.commands.chat import chat
from peerz_node.commands.generate import generate
from peerz_node.commands.gov import gov
from peerz_node.commands.identity import identity
from peerz_node.commands.model import model
from peerz_node.commands.register import register
from peerz_node.commands.run import run
from peerz_node.commands.status import status
from peerz_node.commands.wallet import balance, bond, epoch, leave, rewards, transfer, unbond, withdraw
from peerz_node.errors import EXIT_INTERRUPTED
from peerz_node.invocation import Invocation, PeerzGroup
from peerz_node.runtime import end_well_on_sigterm, install_signals, prepare_environment, quiet_libraries

_BEFORE_COMMANDS = frozenset({"model", "peer", "identity", "log_json"})
"""Group options that also make sense with a command behind them."""


@click.group(
    cls=PeerzGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes, settings by file and environment, and all commands: docs/cli.md.",
)
@click.option("--compute", is_flag=True, help="Serve blocks of a model: be a provider.")
@options.model
@options.peer
@options.identity
@options.provider
@options.common
@click.version_option(package_name="peerz", prog_name="peerz-node")
@click.pass_context
def cli(
    ctx: click.Context, /, compute: bool, config: Path | None, debug: bool, ready_file: Path | None, **given: Any
) -> None:
    """Run large language models together with other people's machines.

    \b
    Serve a part of a model (the first node of a swarm needs no --peer):
        peerz-node --compute --model smollm2-135m --blocks 0:15
    Talk to a model that others serve:
        peerz-node chat --model smollm2-135m --peer ADDR
    See it all work on this machine:
        peerz-node run
    """
    if not debug:
        quiet_libraries()
    set_options = {name: value for name, value in given.items() if value not in (None, ())}
    ctx.obj = Invocation(config=config, debug=debug, options=set_options)
    if ctx.invoked_subcommand is None:
        _without_command(ctx, compute, ready_file)
        return
    misplaced = sorted(set_options.keys() - _BEFORE_COMMANDS)
    if compute or misplaced or ready_file:
        name = "compute" if compute else misplaced[0] if misplaced else "ready-file"
        raise click.UsageError(f"--{name.replace('_', '-')} serves blocks and takes no command behind it", ctx)


def _without_command(ctx: click.Context, compute: bool, ready_file: Path | None) -> None:
    if compute:
        end_well_on_sigterm()
        from peerz_node.provide import provide

        provide(ctx.obj.settings(), ready_file)
    elif ctx.obj.options or ready_file:
        raise click.UsageError("nothing to do: add --compute to serve blocks, or a command such as chat", ctx)
    else:
        click.echo(ctx.get_help())


for command in (chat, generate, status, identity, model, run, chain, bench):
    cli.add_command(command)
for command in (account, balance, transfer, register, bond, unbond, withdraw, leave, rewards, epoch, gov):
    cli.add_command(command)


def main() -> None:
    """Entry point of the `peerz-node` program."""
    try:
        prepare_environment()
        install_signals()
        cli(prog_name="peerz-node")
    except KeyboardInterrupt:  # before or after a command had it in hand
        sys.exit(EXIT_INTERRUPTED)

"""`peerz-node register`: taking part as a provider, a validator or the owner of a model."""

from __future__ import annotations

from typing import Any

import click

from peerz_node import options
from peerz_node.commands.wallet import sending
from peerz_node.invocation import Invocation
from peerz_node.wallet import options as wallet_options

_bond = click.option(
    "--bond", type=wallet_options.amount, default="0", metavar="AMOUNT", help="PRZ to bond first.  [default: none]"
)


@click.group()
def register() -> None:
    """Take part: as a provider, a validator, or the owner of a model."""


@register.command("provider", short_help="Be paid for serving blocks.")
@_bond
@options.identity
@wallet_options.send
@click.pass_obj
def provider(invocation: Invocation, /, bond: int, **given: Any) -> None:
    """Bind this machine's node key to the account and register it as a compute provider.

    Does what is not done yet, and renews a binding that ends soon. No bond is needed to begin.
    """
    settings, send = sending(invocation, given)
    from peerz_node.wallet.registry import register_provider

    register_provider(settings, send, bond)


@register.command("validator", short_help="Be paid for checking others.")
@_bond
@options.identity
@wallet_options.send
@click.pass_obj
def validator(invocation: Invocation, /, bond: int, **given: Any) -> None:
    """Bond, and register the account as a validator with a seed chain that follows from the node key."""
    settings, send = sending(invocation, given)
    from peerz_node.wallet.registry import register_validator

    register_validator(settings, send, bond)


@register.command("model", short_help="Be paid when a model is used.")
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--root", metavar="HEX", help="Root of the manifest, instead of NAME.")
@click.option("--blocks", type=click.IntRange(1, 2**32 - 1), metavar="N", help="Transformer blocks.")
@click.option("--params-per-block", type=click.IntRange(1, 2**64 - 1), metavar="N", help="Parameters of one block.")
@click.option("--width", type=click.IntRange(1, 2**32 - 1), metavar="N", help="Width of the hidden state.")
@wallet_options.send
@click.pass_obj
def model(
    invocation: Invocation,
    /,
    name: str | None,
    root: str | None,
    blocks: int | None,
    params_per_block: int | None,
    width: int | None,
    **given: Any,
) -> None:
    """Register a model: NAME of this machine, or one by --root, --blocks, --params-per-block and --width."""
    shape = (blocks, params_per_block, width)
    if (name is None) == (root is None) or (root is None) != (shape == (None, None, None)) or (root and None in shape):
        raise click.UsageError("give NAME, or all of --root, --blocks, --params-per-block and --width")
    settings, send = sending(invocation, given)
    from chain_client.types import ModelShape
    from peerz_node.wallet.registry import ModelFacts, facts_of_model, parse_root, register_model

    if name is not None:
        facts = facts_of_model(name)
    else:
        try:
            facts = ModelFacts(parse_root(root or ""), ModelShape(blocks or 0, params_per_block or 0, width or 0))
        except ValueError:
            raise click.BadParameter("a root has 64 hexadecimal digits", param_hint="--root") from None
    register_model(settings, send, facts)

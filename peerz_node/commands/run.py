"""`peerz-node run`: everything at once on this machine."""

from __future__ import annotations

from typing import Any

import click

from peerz_node import options
from peerz_node.invocation import Invocation

PROMPT = "Why is the sea salty? Answer in two sentences."


@click.command(short_help="Two providers and a generation on this machine.")
@click.option("--prompt", default=PROMPT, show_default=True, metavar="TEXT", help="What to ask.")
@click.option("--max-new-tokens", type=click.IntRange(2), default=64, show_default=True, metavar="N")
@options.common
@click.pass_obj
def run(invocation: Invocation, /, prompt: str, max_new_tokens: int, config: Any, debug: bool, **given: Any) -> None:
    """Fetch the demo model, serve it with two provider processes, and generate through them.

    The tokens are compared with those of the same model run on this machine alone. Everything that it starts ends
    with it.
    """
    from peerz_node.demo import demonstrate

    invocation.overlaid(config, debug).settings(**given)
    demonstrate(prompt, max_new_tokens)

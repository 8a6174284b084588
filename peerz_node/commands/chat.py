"""`peerz-node chat`: a conversation over one session."""

from __future__ import annotations

from typing import Any

import click

from peerz_node import options
from peerz_node.invocation import Invocation


@click.command(short_help="Talk to a model that the swarm serves.")
@options.model
@options.peer
@options.identity
@options.codec
@options.sampling
@options.common
@click.pass_obj
def chat(invocation: Invocation, /, config: Any, debug: bool, **given: Any) -> None:
    """Talk to a model that the swarm serves: /reset forgets the conversation, /quit (or Ctrl-D) leaves.

    All turns share one session, so a turn costs only its new tokens. Ctrl-C stops an answer, and leaves at the prompt.
    """
    from peerz_node.conversation import converse

    converse(invocation.overlaid(config, debug).settings(**given))

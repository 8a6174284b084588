"""`peerz-node generate`: one answer, for people or for scripts."""

from __future__ import annotations

import sys
from typing import Any

import click

from peerz_node import options
from peerz_node.invocation import Invocation


@click.command(short_help="One answer, as text or JSON.")
@click.argument("prompt", metavar="PROMPT")
@options.model
@options.peer
@options.identity
@options.codec
@options.sampling
@options.no_chat_template
@click.option("--local", is_flag=True, help="Run the whole model on this machine instead: for comparison.")
@options.as_json
@options.common
@click.pass_obj
def generate(
    invocation: Invocation, /, prompt: str, local: bool, as_json: bool, config: Any, debug: bool, **given: Any
) -> None:
    """Answer PROMPT ("-": read it from stdin) with a model that the swarm serves.

    The text goes to stdout as it comes; route and speed go to stderr.
    """
    from peerz_node.generation import generate_once

    settings = invocation.overlaid(config, debug).settings(**given)
    text = sys.stdin.read() if prompt == "-" else prompt
    generate_once(settings, text, as_json=as_json, local=local)

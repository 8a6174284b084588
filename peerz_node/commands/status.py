"""`peerz-node status`: what the swarm serves, and how well."""

from __future__ import annotations

from typing import Any

import click

from peerz_node import options
from peerz_node.invocation import Invocation


@click.command(short_help="Who serves which blocks, how fast, what is missing.")
@options.model
@options.peer
@options.identity
@click.option("--route", is_flag=True, help="Plan the route that a client would take now, and explain its cost.")
@options.as_json
@options.common
@click.pass_obj
def status(invocation: Invocation, /, route: bool, as_json: bool, config: Any, debug: bool, **given: Any) -> None:
    """Show who serves which blocks, what is missing, rates and latencies. Of one model, or of all without --model."""
    from peerz_node.swarm_status import show_status

    show_status(invocation.overlaid(config, debug).settings(**given), with_route=route, as_json=as_json)

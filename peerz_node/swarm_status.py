"""`peerz-node status`: reads the swarm's records, pings their owners, and plans the route that a client would take."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import click

from peerz_node import lean_imports
from peerz_node.console import spinner, stdout_console
from peerz_node.generation import required_peers
from peerz_node.identity_file import client_key
from peerz_node.status_text import renderables

if TYPE_CHECKING:
    from peerz_node.overview import ModelView
    from peerz_node.settings import Settings


def show_status(settings: Settings, *, with_route: bool, as_json: bool) -> None:
    """Prints the overview of one model, or of all that the swarm knows."""
    required_peers(settings)
    lean_imports.load("peerz_node.swarm_reader", ends=lean_imports.ENDS)
    from peerz_node.swarm_reader import read_swarm

    with client_key(settings.identity) as key, spinner("asking the swarm", enabled=not as_json):
        views = asyncio.run(read_swarm(settings, key, with_route=with_route))
    if as_json:
        click.echo(json.dumps({"models": [view.as_json() for view in views]}))
    else:
        _print(views)


def _print(views: list[ModelView]) -> None:
    console = stdout_console()
    if not views:
        click.echo("nobody serves anything yet: start a provider with peerz-node --compute --model smollm2-135m")
    for n, view in enumerate(views):
        if n:
            console.print()
        for part in renderables(view):
            console.print(part)

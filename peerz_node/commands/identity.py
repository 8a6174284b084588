"""`peerz-node identity`: which peer a key file makes one."""

from __future__ import annotations

import json
from typing import Any

import click

from peerz_node import options
from peerz_node.invocation import Invocation


@click.command(short_help="The peer id of a key file, for --allow.")
@options.identity
@options.as_json
@options.common
@click.pass_obj
def identity(invocation: Invocation, /, as_json: bool, config: Any, debug: bool, **given: Any) -> None:
    """Print the peer id that a key file gives its owner; the file is made when absent.

    The owner of a private provider needs it for --allow. Without --identity: the first key of this machine's providers.
    """
    from peerz_node.identity_file import default_identity_dir, load_key

    path = invocation.overlaid(config, debug).settings(**given).identity or default_identity_dir() / "node.key"
    peer_id = load_key(path).peer_id
    click.echo(json.dumps({"peer_id": peer_id, "identity": str(path)}) if as_json else peer_id)

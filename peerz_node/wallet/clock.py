"""Where the epoch stands."""

from __future__ import annotations

import json
from typing import Any

import click

from chain_client.client import ChainClient
from chain_client.types import Phase
from peerz_node.settings import Settings
from peerz_node.wallet.amounts import bar
from peerz_node.wallet.session import ask_chain

_MEANING = {
    Phase.COMMIT: "validators commit to what they measured in epoch {before}; providers post the roots of their work",
    Phase.REVEAL: "validators show what they measured in epoch {before}",
    Phase.FINALISE: "epoch {before} is being added up: its rewards come next",
    Phase.OPEN: "epoch {before} is final: its rewards can be claimed",
}
_BAR = 40


def show_epoch(settings: Settings, *, as_json: bool) -> None:
    """Prints the epoch, its phase and what comes next."""
    facts = ask_chain(settings, _facts)
    click.echo(json.dumps(facts) if as_json else "\n".join(_lines(facts)))


async def _facts(chain: ChainClient) -> dict[str, Any]:
    head = await chain.query.head()
    now = await chain.query.at_one_block()
    epoch, review = await now.epoch()
    parameters = await now.parameters()
    step = await now.next_step()
    return {
        "epoch": epoch.index,
        "phase": epoch.phase.value.lower(),
        "block": await chain.query.block_number(head),
        "started": epoch.started,
        "phase_end": epoch.phase_end,
        "epoch_blocks": parameters.epoch_blocks,
        "step": None if epoch.phase is not Phase.FINALISE else step.kind.value.lower(),
        "page": step.page if epoch.phase is Phase.FINALISE else None,
        "next_review": review,
        "paused": await now.paused_since() is not None,
        "validators": len(await now.epoch_validators(epoch.index)),
        "subjects": await now.subject_count(),
    }


def _lines(facts: dict[str, Any]) -> list[str]:
    phase = Phase(facts["phase"].capitalize())
    done = max(0, facts["block"] - facts["started"])
    lines = [
        f"epoch {facts['epoch']}, phase {facts['phase']}{', PAUSED' if facts['paused'] else ''}",
        f"  {_MEANING[phase].format(before=facts['epoch'] - 1)}",
        f"  block {facts['block']}: {done} of {facts['epoch_blocks']} blocks  {bar(done, facts['epoch_blocks'], _BAR)}",
    ]
    if phase is Phase.FINALISE:
        page = "" if facts["page"] is None else f", page {facts['page']}"
        lines.append(f"  next step: {facts['step']}{page}; anybody can run it")
    else:
        lines.append(f"  the phase ends with block {facts['phase_end']}")
    lines.append(f"  {facts['validators']} validators, {facts['subjects']} registrations")
    lines.append(f"  the weights of the roles are reviewed in epoch {facts['next_review']}")
    return lines

"""`peerz-node bench`: the figures of docs/performance.md, on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from peerz_node import options
from peerz_node.console import progress_display, stdout_console
from peerz_node.invocation import Invocation

if TYPE_CHECKING:
    from peerz_node.bench.record import Record


@click.command(short_help="Measure speed, memory and fail-over on this machine.")
@click.option("--json", "as_json", is_flag=True, help="Print the record as one JSON object instead of a table.")
@click.option("--record", type=click.Path(dir_okay=False, path_type=Path), help="Also write the record to this file.")
@options.model
@options.common
@click.pass_obj
def bench(
    invocation: Invocation, /, as_json: bool, record: Path | None, config: Any, debug: bool, **given: Any
) -> None:
    """Start providers on this machine and measure them beside local execution.

    Takes about three minutes. Close other programs first: everything shares the cores.
    """
    settings = invocation.overlaid(config, debug).settings(**given)
    from compute.models.manifest import load_or_build_manifest
    from peerz_node.bench.suite import run_suite
    from peerz_node.demo import MODEL
    from peerz_node.models import fetch

    files = fetch(settings.model or MODEL)
    n_blocks = load_or_build_manifest(files.directory).n_blocks
    with progress_display(enabled=not as_json) as progress:
        result = run_suite(files, n_blocks, f"peerz-node bench --model {files.name}", progress)
    text = json.dumps(result.as_json(), indent=1)
    if record is not None:
        record.write_text(text + "\n", encoding="utf-8")
    if as_json:
        click.echo(text)
    else:
        _print(result)


def _print(result: Record) -> None:
    from rich.table import Table

    table = Table(title=f"{result.machine['cpu']}, {result.machine['cores']} cores, {result.date}")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("target", justify="right")
    table.add_column("")
    for figure in result.figures:
        sign = "≤" if figure.better == "lower" else "≥"
        target = "" if figure.target is None else f"{sign} {figure.target:g}"
        verdict = {None: "", True: "met", False: "MISSED"}[figure.met]
        table.add_row(figure.name, f"{figure.value:.3g} {figure.unit}", target, verdict)
    stdout_console().print(table)

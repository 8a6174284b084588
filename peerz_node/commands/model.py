"""`peerz-node model`: what is on this machine, and how to get more."""

from __future__ import annotations

from pathlib import Path

import click

from peerz_node.invocation import Invocation


@click.group()
def model() -> None:
    """Fetch, list, inspect and import models."""


@model.command("get", short_help="Fetch a model into the cache.")
@click.argument("name", metavar="NAME")
@click.pass_obj
def get(invocation: Invocation, name: str) -> None:
    """Fetch a demo model (see `model list`) or a model of the hub into the cache. A second time costs nothing."""
    from peerz_node.models import fetch

    invocation.settings()
    files = fetch(name)
    click.echo(f"{files.name} is ready in {files.directory}")


@model.command("list", short_help="Models of this machine, and demo models to fetch.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array instead of text for people.")
@click.pass_obj
def list_models(invocation: Invocation, as_json: bool) -> None:
    """List the models in the cache, and the demo models that can be fetched."""
    import json

    from peerz_node.models import known_models

    invocation.settings()
    rows = known_models()
    if as_json:
        click.echo(json.dumps([{"name": r.name, "directory": r.directory, "bytes": r.n_bytes} for r in rows]))
        return
    for row in rows:
        click.echo(f"{row.name:24} {row.describe()}")


@model.command("inspect", short_help="Shape, family and manifest root of a model.")
@click.argument("name", metavar="NAME")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text for people.")
@click.pass_obj
def inspect(invocation: Invocation, name: str, as_json: bool) -> None:
    """Show a model's shape, its family, and the root of its manifest (made now, if there is none yet)."""
    import json

    from peerz_node.models import inspect_model

    invocation.settings()
    facts = inspect_model(name)
    if as_json:
        click.echo(json.dumps(facts))
        return
    for key, value in facts.items():
        click.echo(f"{key.replace('_', ' '):20} {value}")


@model.command("import", short_help="Convert a GGUF file.")
@click.argument("file", metavar="FILE.gguf", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", metavar="NAME", help="What to call it in the cache.  [default: the file's name]")
@click.pass_obj
def import_model(invocation: Invocation, file: Path, name: str | None) -> None:
    """Convert a GGUF file to safetensors in the cache."""
    from peerz_node.models import import_file

    invocation.settings()
    files = import_file(file, name or file.stem)
    click.echo(f"{files.name} is ready in {files.directory}")

"""Models on this machine: fetch, list, inspect, import."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peerz_node.console import progress_display
from peerz_node.errors import ConfigurationError
from peerz_node.sizes import format_bytes

if TYPE_CHECKING:
    from compute.models.sources import ModelFiles

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}")


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model of the list. `directory` None: a demo model that has not been fetched."""

    name: str
    directory: str | None
    n_bytes: int

    def describe(self) -> str:
        if self.directory is None:
            return f"not fetched: peerz-node model get {self.name}"
        return f"{format_bytes(self.n_bytes):>10}  {self.directory}"


def fetch(name: str) -> ModelFiles:
    """The model's files, downloaded and converted if need be, with a bar on a terminal."""
    from compute.models.catalogue import DEMO_MODELS, get_demo_model
    from compute.models.sources import resolve

    with progress_display() as progress:
        if name in DEMO_MODELS:
            return get_demo_model(name, progress=progress)
        return resolve(name)


def import_file(path: Path, name: str) -> ModelFiles:
    """A GGUF file as a model of the cache."""
    from compute.models.gguf_import import import_gguf
    from compute.models.sources import models_dir, resolve

    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r} cannot be a model's name; use letters, digits, dots, dashes with --name")
    models_dir().mkdir(parents=True, exist_ok=True)
    with progress_display() as progress:
        import_gguf(path, models_dir() / name, progress)
    return resolve(name)


def known_models() -> list[KnownModel]:
    """Models in the cache, then demo models that are not there yet; each group by name."""
    from compute.models.catalogue import DEMO_MODELS
    from compute.models.sources import cached_models

    cached = [KnownModel(files.name, str(files.directory), _size(files.directory)) for files in cached_models()]
    names = {row.name for row in cached}
    return cached + [KnownModel(name, None, 0) for name in sorted(DEMO_MODELS) if name not in names]


def _size(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


def inspect_model(name: str) -> dict[str, Any]:
    """Facts of a model by name, for people and scripts alike. Builds the manifest if there is none."""
    from compute.models.families import family_of
    from compute.models.loading import load_config
    from compute.models.manifest import load_or_build_manifest
    from compute.models.sources import resolve

    files = resolve(name)
    config = load_config(files)
    family = family_of(config.model_type)
    with progress_display() as progress:
        manifest = load_or_build_manifest(files.directory, progress)
    return {
        "name": files.name,
        "directory": str(files.directory),
        "family": family.model_type,
        "blocks": config.num_hidden_layers,
        "width": config.hidden_size,
        "heads": config.num_attention_heads,
        "kv_heads": getattr(config, "num_key_value_heads", None) or config.num_attention_heads,
        "vocabulary": config.vocab_size,
        "bytes": _size(files.directory),
        "model_root": manifest.root.hex(),
    }

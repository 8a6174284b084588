"""Where a model's files come from: a directory, the cache, or a hub."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from compute.errors import UnknownModel

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_FILES = (
    "*.json",
    "model*.safetensors",
    "model*.safetensors.index.json",
    "*.model",
    "*.jinja",
    "tokenizer*",
    "*.txt",
)


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on this machine: the name it was asked for by, and the directory with its config and safetensors."""

    name: str
    directory: Path


def default_cache_dir() -> Path:
    """`$PEERZ_CACHE`, or `~/.cache/peerz`."""
    configured = os.environ.get("PEERZ_CACHE")
    return Path(configured) if configured else Path.home() / ".cache" / "peerz"


def models_dir(cache_dir: Path | None = None) -> Path:
    return (cache_dir or default_cache_dir()) / "models"


def resolve(name: str, cache_dir: Path | None = None) -> ModelFiles:
    """The files of `name`: a directory, a model in the cache, or a hub id, which is fetched unless the hub is offline.

    Raises UnknownModel, with what to do.
    """
    if (files := local_files(name, cache_dir)) is not None:
        return files
    if name and Path(name).expanduser().is_dir():
        raise UnknownModel(f"{name} is a directory without a config.json; name one that holds a Hugging Face model")
    if _HUB_ID.fullmatch(name):
        return ModelFiles(name, _fetch_from_hub(name))
    from compute.models.catalogue import DEMO_MODELS

    if name in DEMO_MODELS:
        raise UnknownModel(f"{name} is not in the cache yet; run `peerz-node model get {name}`")
    raise UnknownModel(
        f"no model {name!r}: name a directory, a hub id such as organisation/name, or one of {', '.join(DEMO_MODELS)}"
    )


def local_files(name: str, cache_dir: Path | None = None) -> ModelFiles | None:
    """The files of `name` if it is a directory or a model in the cache. Fetches nothing."""
    # An empty name would be the directory that we happen to stand in.
    for directory in (Path(name).expanduser(), models_dir(cache_dir) / name) if name else ():
        if (directory / "config.json").is_file():
            return ModelFiles(name, directory.resolve())
    return None


def cached_models(cache_dir: Path | None = None) -> list[ModelFiles]:
    """Models in the cache, by name."""
    root = models_dir(cache_dir)
    return [ModelFiles(path.parent.name, path.parent) for path in sorted(root.glob("*/config.json"))]


def _fetch_from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(_HUB_FILES)))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        raise UnknownModel(
            f"the hub did not give {name!r} ({type(error).__name__}); check the name, the network and your access"
        ) from error

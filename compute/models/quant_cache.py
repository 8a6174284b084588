"""Quantised blocks on disk, so that the next start reads a quarter of the bytes and quantises nothing.

One safetensors file per block, under `<cache>/quantised/<model root>/<quant_spec>/`: spans that overlap share files.
A file carries the Merkle root of its own tensors and is used only if they still have it and it is about the block,
model and specification that is asked for. Anything else in its place is removed and made again.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from compute.models.checkpoint import StoredTensor
from compute.models.manifest import tensor_leaf
from compute.models.merkle import merkle_root
from compute.models.sources import default_cache_dir

logger = logging.getLogger(__name__)

_VERSION = "1"


class QuantCache:
    """Blocks of one model in one `quant_spec`."""

    def __init__(self, model_root: bytes, quant_spec: str, cache_dir: Path | None = None) -> None:
        self._about = {"version": _VERSION, "model_root": model_root.hex(), "quant_spec": quant_spec}
        spec = re.sub(r"[^\w.=-]", "_", quant_spec)
        self._directory = (cache_dir or default_cache_dir()) / "quantised" / model_root.hex() / spec

    def path(self, block: int) -> Path:
        return self._directory / f"block-{block:05}.safetensors"

    def get(self, block: int) -> dict[str, torch.Tensor] | None:
        """The block's tensors, views of the mapped file; None when they are not there, or not what was put."""
        path = self.path(block)
        if not path.is_file():
            return None
        try:
            with safe_open(path, "pt") as file:
                about = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        except (OSError, SafetensorError) as error:
            logger.warning("%s cannot be read and is made again: %s", path, error)
            self.forget(block)
            return None
        if about != self._describe(block, tensors):
            logger.warning("%s is not what was written there and is made again", path)
            self.forget(block)
            return None
        return tensors

    def put(self, block: int, tensors: Mapping[str, torch.Tensor]) -> None:
        """Stores a block, all or nothing. A disk that is full or read-only costs time at the next start, no more."""
        draft = self._directory / f".{secrets.token_hex(8)}"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            save_file(dict(tensors), draft, self._describe(block, tensors))
            draft.replace(self.path(block))
        except (OSError, SafetensorError) as error:
            logger.warning("block %d could not be kept in %s: %s", block, self._directory, error)
            draft.unlink(missing_ok=True)

    def forget(self, block: int) -> None:
        try:
            self.path(block).unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s could not be removed: %s", self.path(block), error)

    def _describe(self, block: int, tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
        path = self.path(block)
        leaves = (tensor_leaf(StoredTensor(name, path, tensors[name])) for name in sorted(tensors))
        return {**self._about, "block": str(block), "root": merkle_root(leaves).hex()}

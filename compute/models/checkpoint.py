"""Tensors of a safetensors checkpoint, one file or many, read by name and only when asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from compute.errors import WeightsCorrupt

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_INDEX_BYTES_MAX = 256 << 20


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as the checkpoint stores it. `value` is a view of the mapped file: copy it before changing it."""

    name: str
    file: Path
    value: torch.Tensor

    @property
    def dtype(self) -> str:
        return str(self.value.dtype).removeprefix("torch.")

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.value.shape)

    @property
    def data(self) -> memoryview:
        """The stored bytes, row-major, little-endian."""
        array: Any = self.value.contiguous().reshape(-1).view(torch.uint8).numpy()
        return memoryview(array)


class Checkpoint:
    """A model directory's weights. Raises WeightsCorrupt, naming the file or tensor, wherever they cannot be read."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: dict[Path, Any] = {}
        self._file_of = self._index()

    def names(self) -> list[str]:
        """All tensors, sorted."""
        return sorted(self._file_of)

    def tensor(self, name: str) -> StoredTensor:
        file = self._file_of.get(name)
        if file is None:
            raise WeightsCorrupt(f"the checkpoint in {self._directory} has no tensor {name}", tensor=name)
        try:
            return StoredTensor(name, file, self._reader(file).get_tensor(name))
        except SafetensorError as error:
            raise WeightsCorrupt(f"{name} cannot be read from {file}: {error}", tensor=name) from error

    def tensors(self, names: Iterable[str]) -> list[StoredTensor]:
        return [self.tensor(name) for name in names]

    def _index(self) -> dict[str, Path]:
        single, index = self._directory / _SINGLE, self._directory / _INDEX
        if single.is_file():
            return dict.fromkeys(self._reader(single).keys(), single)
        if not index.is_file():
            raise WeightsCorrupt(f"{self._directory} has neither {_SINGLE} nor {_INDEX}; Peerz reads safetensors only")
        try:
            if index.stat().st_size > _INDEX_BYTES_MAX:
                raise ValueError("too large")
            shards = json.loads(index.read_bytes())["weight_map"].items()
            # A name with a directory in it would read files outside the model.
            return {str(name): self._directory / Path(str(shard)).name for name, shard in shards}
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise WeightsCorrupt(f"{index} cannot be read: {error}") from error

    def _reader(self, file: Path) -> Any:
        if file not in self._open:
            try:
                self._open[file] = safe_open(file, "pt")
            except (OSError, SafetensorError) as error:
                raise WeightsCorrupt(f"{file} is missing, truncated or not safetensors: {error}") from error
        return self._open[file]

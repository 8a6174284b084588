"""The model manifest: what a model *is*, so that strangers can agree on it. Design 5.1.

A tensor's leaf is the hash of `name || dtype || shape || bytes` as the checkpoint stores it (little-endian,
row-major). Tensors are sorted by name. A block's root is over its tensors, a span's over its blocks' roots, `outer`
over everything outside the blocks. The model's root is over (config hash, tokenizer hash, outer root, block roots
...). The manifest lies beside the model as `peerz-manifest.json` and is believed only as far as its own root follows
from its leaves.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PretrainedConfig

from compute.errors import ModelError, UnsupportedModel, WeightsCorrupt
from compute.models.checkpoint import Checkpoint, StoredTensor
from compute.models.families import Family, family_of
from compute.models.merkle import leaf_hash, merkle_root
from compute.models.progress import Progress, silent
from compute.types import HASH_BYTES, Span

MANIFEST_FILE = "peerz-manifest.json"
_VERSION = 1
_FILE_BYTES_MAX = 64 << 20
# Keys of a config that say nothing about the function that the model computes.
_CONFIG_NOISE = frozenset({"_name_or_path", "transformers_version", "dtype", "torch_dtype", "use_cache"})
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt")


@dataclass(frozen=True, slots=True)
class Manifest:
    """Hashes of a model's parts, 32 bytes each. `outer` and `blocks` map tensor names to leaves."""

    model_type: str
    width: int
    config_hash: bytes
    tokenizer_hash: bytes
    outer: Mapping[str, bytes]
    blocks: tuple[Mapping[str, bytes], ...]

    @property
    def n_blocks(self) -> int:
        return len(self.blocks)

    @property
    def outer_root(self) -> bytes:
        return _root_of(self.outer)

    @property
    def block_roots(self) -> tuple[bytes, ...]:
        return tuple(_root_of(block) for block in self.blocks)

    @property
    def root(self) -> bytes:
        """The model's identity."""
        return merkle_root([self.config_hash, self.tokenizer_hash, self.outer_root, *self.block_roots])

    def span_root(self, span: Span) -> bytes:
        return merkle_root(self.block_roots[span.start : span.end])

    def leaf_of(self, name: str) -> bytes:
        """The expected leaf of a tensor. Raises WeightsCorrupt when the manifest knows no such tensor."""
        if (leaf := self.outer.get(name)) is not None:
            return leaf
        for block in self.blocks:
            if (leaf := block.get(name)) is not None:
                return leaf
        raise WeightsCorrupt(f"the checkpoint has a tensor {name} that the manifest does not know", tensor=name)

    def verify_tensor(self, tensor: StoredTensor) -> None:
        """Raises WeightsCorrupt, naming the tensor, unless its bytes are the ones that the manifest was made from."""
        if tensor_leaf(tensor) != self.leaf_of(tensor.name):
            raise WeightsCorrupt(
                f"{tensor.name} in {tensor.file.name} differs from the manifest; fetch the model again",
                tensor=tensor.name,
            )


def tensor_leaf(tensor: StoredTensor) -> bytes:
    """Hash of a tensor's name, dtype, shape and stored bytes."""
    head = f"{tensor.name}\n{tensor.dtype}\n{','.join(map(str, tensor.shape))}\n".encode()
    digest = hashlib.blake2b(b"\x00" + struct.pack("<I", len(head)) + head, digest_size=HASH_BYTES)
    digest.update(tensor.data)
    return digest.digest()


def build_manifest(directory: Path, progress: Progress = silent) -> Manifest:
    """Hashes the whole checkpoint and writes the manifest beside it."""
    config = read_config(directory)
    checkpoint = Checkpoint(directory)
    names = checkpoint.names()
    prefix = block_pattern(family_of(config.model_type))
    outer: dict[str, bytes] = {}
    blocks: defaultdict[int, dict[str, bytes]] = defaultdict(dict)
    for done, name in enumerate(names):
        progress("hashing weights", done, len(names))
        match = prefix.match(name)
        part = outer if match is None else blocks[int(match[1])]
        part[name] = tensor_leaf(checkpoint.tensor(name))
    progress("hashing weights", len(names), len(names))
    wanted = range(config.num_hidden_layers)
    if missing := [str(block) for block in wanted if block not in blocks]:
        raise WeightsCorrupt(f"the checkpoint in {directory} has no tensors of block {', '.join(missing[:5])}")
    manifest = Manifest(
        model_type=config.model_type,
        width=config.hidden_size,
        config_hash=_config_hash(directory),
        tokenizer_hash=_tokenizer_hash(directory),
        outer=outer,
        # Some checkpoints carry more blocks than the config uses (for speculation): they are no part of the model.
        blocks=tuple(blocks[block] for block in wanted),
    )
    _write(directory, manifest)
    return manifest


def block_pattern(family: Family) -> re.Pattern[str]:
    """What the names of a block's tensors begin with, its number as the group.

    The outermost module may be left out: checkpoints of a model without its head do so.
    """
    outermost, _, rest = family.blocks.partition(".")
    return re.compile(rf"(?:{re.escape(outermost)}\.)?{re.escape(rest)}\.(\d{{1,6}})\.")


def load_manifest(directory: Path) -> Manifest:
    """The manifest beside a model. Raises WeightsCorrupt when it is missing, malformed, or not about this config."""
    path = directory / MANIFEST_FILE
    try:
        if path.stat().st_size > _FILE_BYTES_MAX:
            raise WeightsCorrupt(f"{path} is too large for a manifest")
        manifest, root = _from_json(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsCorrupt(f"{path} cannot be read as a manifest; remove it to have it made again") from error
    if manifest.root != root:
        raise WeightsCorrupt(f"{path} contradicts itself: its root does not follow from its hashes; remove it")
    if manifest.config_hash != _config_hash(directory):
        raise WeightsCorrupt(f"{directory / 'config.json'} is not the config that the manifest was made from")
    if manifest.tokenizer_hash != _tokenizer_hash(directory):
        raise WeightsCorrupt(f"the tokenizer in {directory} is not the one that the manifest was made from")
    return manifest


def load_or_build_manifest(directory: Path, progress: Progress = silent) -> Manifest:
    """The manifest beside a model, made first if there is none."""
    if (directory / MANIFEST_FILE).exists():
        return load_manifest(directory)
    return build_manifest(directory, progress)


def _root_of(tensors: Mapping[str, bytes]) -> bytes:
    return merkle_root(tensors[name] for name in sorted(tensors))


def read_config(directory: Path) -> PretrainedConfig:
    """The config of a text model in plain precision, of a family in the table. Raises UnsupportedModel."""
    path = directory / "config.json"
    try:
        config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnsupportedModel(f"{path} is missing or cannot be used: {error}") from error
    if config.get_text_config(decoder=True) is not config:
        raise UnsupportedModel(f"{path} is about a model of more than text; only its text model alone could be served")
    if getattr(config, "quantization_config", None) is not None:
        raise UnsupportedModel(f"{path} is about quantised weights; take the original model and choose a --precision")
    family_of(config.model_type)
    _check_rotary(config)
    return config


def _check_rotary(config: PretrainedConfig) -> None:
    """Refuses rotary embeddings whose angles depend on how long the longest sequence of a batch is.

    The stock code looks at the highest position that it is given; in a batch of many sessions one could change the
    angles of all others.
    """
    parameters = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    sets = [parameters, *(value for value in parameters.values() if isinstance(value, dict))]
    for kind in {str(entry.get("rope_type") or entry.get("type") or "") for entry in sets}:
        if kind in ("dynamic", "longrope"):
            raise UnsupportedModel(
                f"rotary embeddings of type {kind!r} are not supported yet: their angles depend on the batch"
            )


def _config_hash(directory: Path) -> bytes:
    """Over the config as it is written, less the keys that do not change what the model computes."""
    path = directory / "config.json"
    try:
        items = json.loads(path.read_bytes()).items()
    except (OSError, ValueError, AttributeError) as error:
        raise UnsupportedModel(f"{path} cannot be read as a config: {error}") from error
    kept = {key: value for key, value in items if key not in _CONFIG_NOISE}
    return leaf_hash(json.dumps(kept, sort_keys=True, separators=(",", ":")).encode())


def _tokenizer_hash(directory: Path) -> bytes:
    files = [directory / name for name in _TOKENIZER_FILES if (directory / name).is_file()]
    return merkle_root(leaf_hash(file.name.encode() + b"\n" + file.read_bytes()) for file in files)


def _write(directory: Path, manifest: Manifest) -> None:
    text = json.dumps(_as_json(manifest), indent=1)
    draft = directory / f".{MANIFEST_FILE}.{secrets.token_hex(4)}"
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(directory / MANIFEST_FILE)
    except OSError as error:
        raise ModelError(f"the manifest cannot be written into {directory}: {error.strerror}") from error


def _as_json(manifest: Manifest) -> dict[str, Any]:
    def leaves(tensors: Mapping[str, bytes]) -> dict[str, str]:
        return {name: tensors[name].hex() for name in sorted(tensors)}

    return {
        "version": _VERSION,
        "root": manifest.root.hex(),
        "model_type": manifest.model_type,
        "width": manifest.width,
        "config_hash": manifest.config_hash.hex(),
        "tokenizer_hash": manifest.tokenizer_hash.hex(),
        "outer": leaves(manifest.outer),
        "blocks": [leaves(block) for block in manifest.blocks],
    }


def _from_json(data: Mapping[str, Any]) -> tuple[Manifest, bytes]:
    if data["version"] != _VERSION:
        raise ValueError("another version")
    manifest = Manifest(
        model_type=str(data["model_type"]),
        width=int(data["width"]),
        config_hash=_hash_of(data["config_hash"]),
        tokenizer_hash=_hash_of(data["tokenizer_hash"]),
        outer=_leaves_of(data["outer"].items()),
        blocks=tuple(_leaves_of(block.items()) for block in data["blocks"]),
    )
    return manifest, _hash_of(data["root"])


def _leaves_of(items: Iterable[tuple[str, str]]) -> dict[str, bytes]:
    return {name: _hash_of(text) for name, text in items}


def _hash_of(text: str) -> bytes:
    value = bytes.fromhex(text)
    if len(value) != HASH_BYTES:
        raise ValueError("a hash of another length")
    return value

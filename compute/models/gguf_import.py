"""GGUF files into safetensors, once: everything else in Peerz reads safetensors only."""

from __future__ import annotations

import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from compute.errors import UnknownModel, UnsupportedModel, WeightsCorrupt
from compute.models.families import family_of
from compute.models.manifest import build_manifest
from compute.models.progress import Progress, silent
from compute.models.quiet import without_bars

_STAGES = 4
_GGUF_MAGIC = b"GGUF"


def import_gguf(gguf: Path, target: Path, progress: Progress = silent, *, root: bytes | None = None) -> None:
    """Writes `target` (a new directory): config, tokenizer, de-quantised fp32 safetensors and the manifest.

    All or nothing. Raises UnknownModel when there is no such file, WeightsCorrupt when it cannot be read as GGUF or
    becomes another model than the one of manifest root `root`, UnsupportedModel for a family that is not in the table.
    """
    if target.exists():
        raise UnsupportedModel(f"{target} is there already; remove it first, or choose another name")
    try:
        with gguf.open("rb") as file:
            magic = file.read(len(_GGUF_MAGIC))
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnknownModel(f"{error.filename} cannot be opened: {error.strerror}") from error
    if magic != _GGUF_MAGIC:
        raise WeightsCorrupt(f"{gguf} is not a GGUF file")
    what = f"converting {gguf.name}"
    draft = Path(tempfile.mkdtemp(prefix=".import-", dir=target.parent))
    try:
        progress(what, 0, _STAGES)
        with without_bars():
            tokenizer, model = _read(gguf, what, progress)
            model.save_pretrained(draft)
            tokenizer.save_pretrained(draft)
        progress(what, 3, _STAGES)
        _check_root(build_manifest(draft).root, root, gguf)
        draft.replace(target)
        progress(what, _STAGES, _STAGES)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _check_root(root: bytes, expected: bytes | None, gguf: Path) -> None:
    """Raises WeightsCorrupt when the conversion gave another model than all others have, who would not talk to us."""
    if expected is None or root == expected:
        return
    import transformers

    raise WeightsCorrupt(
        f"{gguf.name} became a model of root {root.hex()[:16]} here, instead of {expected.hex()[:16]}: transformers "
        f"{transformers.__version__} or gguf {version('gguf')} converts otherwise; install the versions in "
        "constraints.txt and fetch it again (nothing was kept)"
    )


def _read(gguf: Path, what: str, progress: Progress) -> tuple[Any, Any]:
    """(tokenizer, fp32 model without any trace of quantisation in its config)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    try:
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        progress(what, 1, _STAGES)
        loaded = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
        )
    except Exception as error:  # the edge: parsers of a file from anywhere raise what they like
        raise WeightsCorrupt(f"{gguf} could not be converted: {error}") from error
    progress(what, 2, _STAGES)
    family_of(loaded.config.model_type)
    # A model that came from GGUF refuses to be saved as long as it remembers that.
    plain = {
        k: v for k, v in loaded.config.to_dict().items() if k not in ("quantization_config", "_name_or_path", "dtype")
    }
    model = type(loaded)(type(loaded.config)(**plain))
    model.load_state_dict(loaded.state_dict(), strict=True)
    model.config.dtype = "float32"
    model.generation_config = loaded.generation_config
    return tokenizer, model

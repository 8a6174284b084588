"""Parts of a model into memory: a span of blocks for a provider, everything but the blocks for a client.

The stock model is built without memory (on torch's meta device) and receives only the tensors that are asked for,
through transformers' own conversion of checkpoint names: the rest of the model never exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import convert_and_load_state_dict_in_model
from transformers.modeling_utils import LoadStateDictConfig

from compute.errors import BadRequest, WeightsCorrupt
from compute.models.checkpoint import Checkpoint, StoredTensor
from compute.models.families import Family, family_of
from compute.models.manifest import Manifest, load_or_build_manifest, read_config
from compute.models.progress import Progress, silent
from compute.models.sources import ModelFiles
from compute.models.span import LoadedSpan
from compute.types import Precision, Span


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a span is loaded.

    Args:
        precision: how the weights are held; `AUTO` measures and decides.
        device: torch device of the blocks.
        verify: check every tensor against the manifest. Off only for measurements.
        quant_cache: keep the quantised span on disk, and use it when it is there.
    """

    precision: Precision = Precision.FP32
    device: str = "cpu"
    verify: bool = True
    quant_cache: bool = True


def load_config(files: ModelFiles) -> PretrainedConfig:
    """The text model's config. Raises UnsupportedModel for a family that the table does not list."""
    return read_config(files.directory)


def load_span(
    files: ModelFiles, span: Span, options: LoadOptions = LoadOptions(), progress: Progress = silent
) -> LoadedSpan:
    """Blocks `span`, checked against the manifest and ready for the runner.

    Raises BadRequest when the model has no such blocks, WeightsCorrupt naming the first tensor that is wrong.
    """
    from compute.models.precision import hold

    config = load_config(files)
    family = family_of(config.model_type)
    if span.end > config.num_hidden_layers:
        raise BadRequest(f"{files.name} has blocks 0:{config.num_hidden_layers}; {span} reaches beyond them", span=span)
    manifest = load_or_build_manifest(files.directory, progress)
    model = _skeleton(config)
    prefixes = tuple(f"{family.blocks}.{block}." for block in range(span.start, span.end))
    tensors = _read(Checkpoint(files.directory), manifest if options.verify else None, prefixes, progress)
    _fill(model, tensors, prefixes, torch.float32)
    blocks = torch.nn.ModuleList(model.get_submodule(family.blocks)[span.start : span.end])
    held = hold(blocks, config, options.precision, torch.device(options.device))
    blocks.requires_grad_(False).eval()
    return LoadedSpan(
        config=config,
        family=family,
        span=span,
        blocks=blocks,
        rotary=_rotary(model, family, config, torch.device(options.device)),
        device=torch.device(options.device),
        dtype=held.dtype,
        kv_dtype=held.kv_dtype,
        kv_heads=_kv_heads(config),
        head_dim=_head_dim(config),
        precision=held.precision,
        quant_spec=held.quant_spec,
        numeric_profile=held.numeric_profile,
        model_root=manifest.root,
        weight_bytes=sum(t.numel() * t.itemsize for t in (*blocks.parameters(), *blocks.buffers())),
    )


def load_outer(
    files: ModelFiles, dtype: torch.dtype = torch.float32, progress: Progress = silent
) -> tuple[PreTrainedModel, Manifest]:
    """The stock causal model with an *empty* block list, and the manifest that its other tensors agree with."""
    config = load_config(files)
    family = family_of(config.model_type)
    manifest = load_or_build_manifest(files.directory, progress)
    model = _skeleton(config, dtype)
    _set_submodule(model, family.blocks, torch.nn.ModuleList())
    checkpoint = Checkpoint(files.directory)
    tensors = _verified(checkpoint, manifest, sorted(manifest.outer), progress)
    _fill(model, tensors, ("",), dtype)
    model.tie_weights()
    _initialise_buffers(model, torch.device("cpu"))
    model.requires_grad_(False).eval()
    return model, manifest


def load_local_model(files: ModelFiles, dtype: torch.dtype = torch.float32) -> Any:
    """The whole stock model, for comparison."""
    load_config(files)
    return AutoModelForCausalLM.from_pretrained(files.directory, dtype=dtype, local_files_only=True).eval()


def _skeleton(config: PretrainedConfig, dtype: torch.dtype = torch.float32) -> Any:
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, dtype=dtype)


def _read(
    checkpoint: Checkpoint, manifest: Manifest | None, prefixes: tuple[str, ...], progress: Progress
) -> list[StoredTensor]:
    names = [name for name in checkpoint.names() if name.startswith(prefixes)]
    if manifest is None:
        return checkpoint.tensors(names)
    known = {name for block in manifest.blocks for name in block if name.startswith(prefixes)}
    if missing := sorted(known.difference(names)):
        raise WeightsCorrupt(f"the checkpoint lacks {missing[0]}; fetch the model again", tensor=missing[0])
    return _verified(checkpoint, manifest, names, progress)


def _verified(
    checkpoint: Checkpoint, manifest: Manifest, names: Sequence[str], progress: Progress
) -> list[StoredTensor]:
    tensors = []
    for done, name in enumerate(names):
        progress("checking weights", done, len(names))
        tensor = checkpoint.tensor(name)
        manifest.verify_tensor(tensor)
        tensors.append(tensor)
    progress("checking weights", len(names), len(names))
    return tensors


def _fill(model: Any, tensors: Iterable[StoredTensor], prefixes: tuple[str, ...], dtype: torch.dtype) -> None:
    """Gives `tensors` to the model in `dtype`. Raises WeightsCorrupt when a parameter below `prefixes` got none."""
    info, _ = convert_and_load_state_dict_in_model(
        model=model,
        state_dict={tensor.name: tensor.value for tensor in tensors},
        load_config=LoadStateDictConfig(
            device_map={"": "cpu"}, dtype=dtype, weight_mapping=get_model_conversion_mapping(model)
        ),
    )
    tied = set(getattr(model, "_tied_weights_keys", None) or ())
    wrong = sorted(info.mismatched_keys) or sorted(info.conversion_errors)
    missing = sorted(k for k in info.missing_keys if k.startswith(prefixes) and k not in tied)
    for name in (str(wrong[0]) if wrong else "", *missing):
        if name:
            raise WeightsCorrupt(f"{name} is missing or has another shape than the config says", tensor=name)


def _rotary(model: Any, family: Family, config: PretrainedConfig, device: torch.device) -> torch.nn.Module | None:
    if not family.rotary:
        return None
    rotary: torch.nn.Module = type(model.get_submodule(family.rotary))(config=config)
    return rotary.to(device)


def _initialise_buffers(model: Any, device: torch.device) -> None:
    """Buffers that no checkpoint holds (rotary frequencies, embedding scales) get their values from the stock code."""
    for module in model.modules():
        empty = [name for name, buffer in module.named_buffers(recurse=False) if buffer.is_meta]
        for name in empty:
            module._buffers[name] = torch.empty_like(module._buffers[name], device=device)
        if empty:
            model._init_weights(module)


def _set_submodule(model: torch.nn.Module, path: str, module: torch.nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, module)


def _head_dim(config: PretrainedConfig) -> int:
    explicit = getattr(config, "head_dim", None)
    return int(explicit or config.hidden_size // config.num_attention_heads)


def _kv_heads(config: PretrainedConfig) -> int:
    """Key/value heads as they reach the cache. Falcon's newer blocks repeat them before that."""
    if config.model_type == "falcon":
        one = config.multi_query and not config.new_decoder_architecture
        return 1 if one else int(config.num_attention_heads)
    for name in ("num_key_value_heads", "num_kv_heads"):
        if (value := getattr(config, name, None)) is not None:
            return int(value)
    return int(config.num_attention_heads)

"""Parts of a model into memory: a span of blocks for a provider, everything but the blocks for a client.

The stock model is built without memory (on torch's meta device) and receives only the tensors that are asked for,
through transformers' own conversion of checkpoint names: the rest of the model never exists.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch.overrides import TorchFunctionMode
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import convert_and_load_state_dict_in_model
from transformers.modeling_utils import LoadStateDictConfig

from compute.errors import BadRequest, WeightsCorrupt
from compute.models.auto_precision import choose_precision
from compute.models.checkpoint import Checkpoint, StoredTensor
from compute.models.families import Family, family_of
from compute.models.linears import FORMATS
from compute.models.manifest import MANIFEST_FILE, Manifest, load_or_build_manifest, read_config
from compute.models.precision import HELD, block_bytes, check_precision, hold_block, install_block, quantise_block
from compute.models.progress import Progress, silent
from compute.models.quant_cache import QuantCache
from compute.models.quiet import without_bars
from compute.models.sources import ModelFiles
from compute.models.span import LoadedSpan
from compute.types import Precision, Span

logger = logging.getLogger(__name__)

_NOWHERE = torch.device("meta")
_INITIAL_VALUES = frozenset({"torch.nn.init", "transformers.initialization"})


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a span is loaded.

    Args:
        precision: how the weights are held; `AUTO` measures and decides.
        device: torch device of the blocks.
        verify: check every tensor against the manifest. Off only for measurements.
        quant_cache: keep the quantised blocks on disk, and use them when they are there (never without `verify`).
        auto: what `AUTO` may choose from.
    """

    precision: Precision = Precision.FP32
    device: str = "cpu"
    verify: bool = True
    quant_cache: bool = True
    auto: tuple[Precision, ...] = (Precision.FP32, Precision.BF16)


def load_config(files: ModelFiles) -> PretrainedConfig:
    """The text model's config. Raises UnsupportedModel for a family that the table does not list."""
    return read_config(files.directory)


def load_span(
    files: ModelFiles, span: Span, options: LoadOptions = LoadOptions(), progress: Progress = silent
) -> LoadedSpan:
    """Blocks `span`, checked against the manifest and ready for the runner.

    In fp32 from an fp32 checkpoint the weights stay views of the mapped file, which providers on one machine then
    share: such a file may be replaced while it is served, not rewritten in place. In other precisions one block at a
    time exists in fp32. Raises BadRequest when the model has no such blocks
    or the device cannot do the precision, UnsupportedModel when the model cannot, WeightsCorrupt naming the first
    tensor that is wrong.
    """
    config = load_config(files)
    family = family_of(config.model_type)
    if span.end > config.num_hidden_layers:
        raise BadRequest(f"{files.name} has blocks 0:{config.num_hidden_layers}; {span} reaches beyond them", span=span)
    device = _device(options.device)
    manifest = _manifest_of(files, config, progress)
    model = _skeleton(config)
    loader = _BlockLoader(model, family, Checkpoint(files.directory), manifest, options.verify)
    precision = options.precision
    if precision is Precision.AUTO:
        precision = choose_precision(loader.fp32(span.start), device, options.auto)
    check_precision(precision, loader.block(span.start), device)
    held = HELD[precision]
    cache = QuantCache(manifest.root, held.quant_spec) if options.quant_cache and options.verify else None
    for done, block in enumerate(range(span.start, span.end)):
        progress("checking weights", done, len(span))
        loader.load(block, precision, device, cache)
    progress("checking weights", len(span), len(span))
    blocks = torch.nn.ModuleList(loader.block(block) for block in range(span.start, span.end))
    blocks.requires_grad_(False).eval()
    return LoadedSpan(
        config=config,
        family=family,
        span=span,
        blocks=blocks,
        rotary=_rotary(model, family, config, device),
        device=device,
        dtype=held.dtype,
        kv_dtype=held.kv_dtype,
        kv_heads=_kv_heads(config),
        head_dim=_head_dim(config),
        precision=held.precision,
        quant_spec=held.quant_spec,
        numeric_profile=held.numeric_profile,
        model_root=manifest.root,
        weight_bytes=block_bytes(blocks),
    )


@dataclass(frozen=True, slots=True)
class _BlockLoader:
    """Fills single blocks of a model that is otherwise on the meta device."""

    model: Any
    family: Family
    checkpoint: Checkpoint
    manifest: Manifest
    verify: bool

    def block(self, index: int) -> torch.nn.Module:
        return cast(torch.nn.Module, self.model.get_submodule(f"{self.family.blocks}.{index}"))

    def fp32(self, index: int) -> torch.nn.Module:
        """The block with the checkpoint's weights, on the CPU."""
        block = self.block(index)
        if any(parameter.is_meta for parameter in block.parameters()):
            names = sorted(self.manifest.blocks[index])
            tensors = [_read(self.checkpoint, self.manifest if self.verify else None, name) for name in names]
            _fill(self.model, tensors, f"{self.family.blocks}.{index}.", torch.float32)
        return block

    def load(self, index: int, precision: Precision, device: torch.device, cache: QuantCache | None) -> None:
        """Puts the block into its final state, out of the cache if it can be held there and is."""
        _initialise_buffers(self.block(index), self.model)
        if precision not in FORMATS:
            hold_block(self.fp32(index), precision, device)
            return
        kept = cache.get(index) if cache else None
        if kept is not None:
            try:
                install_block(self.block(index), kept, precision, device)
                return
            except (KeyError, RuntimeError) as error:
                # Whole, but of another shape than this version makes.
                logger.warning("block %d in the cache does not fit and is made again: %s", index, error)
        made = quantise_block(self.fp32(index), precision)
        if cache:
            cache.put(index, made)
        install_block(self.block(index), made, precision, device)


def load_outer(
    files: ModelFiles, dtype: torch.dtype = torch.float32, progress: Progress = silent
) -> tuple[PreTrainedModel, Manifest]:
    """The stock causal model with an *empty* block list, and the manifest that its other tensors agree with."""
    config = load_config(files)
    family = family_of(config.model_type)
    manifest = _manifest_of(files, config, progress)
    model = _skeleton(config, dtype)
    _set_submodule(model, family.blocks, torch.nn.ModuleList())
    checkpoint = Checkpoint(files.directory)
    tensors = []
    for done, name in enumerate(sorted(manifest.outer)):
        progress("checking weights", done, len(manifest.outer))
        tensors.append(_read(checkpoint, manifest, name))
    progress("checking weights", len(manifest.outer), len(manifest.outer))
    _fill(model, tensors, "", dtype)
    model.tie_weights()
    if absent := next((name for name, parameter in model.named_parameters() if parameter.is_meta), None):
        raise WeightsCorrupt(f"the checkpoint of {files.name} has no tensor {absent}", tensor=absent)
    _initialise_buffers(model, model)
    model.requires_grad_(False).eval()
    return model, manifest


def load_local_model(files: ModelFiles, dtype: torch.dtype = torch.float32) -> Any:
    """The whole stock model, for comparison."""
    load_config(files)
    with without_bars():
        return AutoModelForCausalLM.from_pretrained(files.directory, dtype=dtype, local_files_only=True).eval()


def _manifest_of(files: ModelFiles, config: PretrainedConfig, progress: Progress) -> Manifest:
    manifest = load_or_build_manifest(files.directory, progress)
    if manifest.n_blocks != config.num_hidden_layers:
        raise WeightsCorrupt(
            f"the manifest of {files.name} is about {manifest.n_blocks} blocks, the config says "
            f"{config.num_hidden_layers}; remove {MANIFEST_FILE} to have it made again"
        )
    return manifest


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BadRequest(f"the device {name!r} cannot be used here: {error}; choose another --device") from error
    return device


def _skeleton(config: PretrainedConfig, dtype: torch.dtype = torch.float32) -> Any:
    with _ParametersWithoutMemory():
        model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype)
    return model.to(_NOWHERE)


class _ParametersWithoutMemory(TorchFunctionMode):
    """Makes what modules leave empty for their weights on the meta device, and leaves it as it is.

    Not `torch.device("meta")`, under which the stock code would compute its tables without values too: for arithmetic
    without values torch loads its compiler and sympy, 2 s and 100 MiB. The tables (a few kilobytes) are real until the
    model as a whole goes to the meta device.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) in _INITIAL_VALUES:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        if func is torch.empty and kwargs.get("device") is None:
            kwargs = {**kwargs, "device": _NOWHERE}
        return func(*args, **kwargs)


def _read(checkpoint: Checkpoint, manifest: Manifest | None, name: str) -> StoredTensor:
    tensor = checkpoint.tensor(name)
    if manifest is not None:
        manifest.verify_tensor(tensor)
    return tensor


def _fill(model: Any, tensors: Iterable[StoredTensor], prefix: str, dtype: torch.dtype) -> None:
    """Gives `tensors` to the model in `dtype`. Raises WeightsCorrupt when a parameter below `prefix` got none."""
    with without_bars():
        info, _ = convert_and_load_state_dict_in_model(
            model=model,
            state_dict={tensor.name: tensor.value for tensor in tensors},
            load_config=LoadStateDictConfig(
                device_map={"": "cpu"}, dtype=dtype, weight_mapping=get_model_conversion_mapping(model)
            ),
        )
    tied = set(getattr(model, "_tied_weights_keys", None) or ())
    wrong = sorted(str(key[0] if isinstance(key, tuple) else key) for key in info.mismatched_keys)
    wrong += sorted(map(str, info.conversion_errors))
    wrong += sorted(key for key in info.missing_keys if key.startswith(prefix) and key not in tied)
    if wrong:
        raise WeightsCorrupt(f"{wrong[0]} is missing or has another shape than the config says", tensor=wrong[0])


def _rotary(model: Any, family: Family, config: PretrainedConfig, device: torch.device) -> torch.nn.Module | None:
    if not family.rotary:
        return None
    rotary: torch.nn.Module = type(model.get_submodule(family.rotary))(config=config)
    return rotary.to(device)


def _initialise_buffers(part: torch.nn.Module, model: Any) -> None:
    """Buffers that no checkpoint holds (rotary frequencies, embedding scales) get their values from the stock code."""
    for module in part.modules():
        empty = [(name, buffer) for name, buffer in module.named_buffers(recurse=False) if buffer.is_meta]
        for name, buffer in empty:
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype))
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

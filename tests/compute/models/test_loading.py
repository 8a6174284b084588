from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_models import VARIANTS, tiny_model

from compute.errors import BadRequest, WeightsCorrupt
from compute.models.checkpoint import Checkpoint, StoredTensor
from compute.models.families import FAMILIES
from compute.models.loading import LoadOptions, load_local_model, load_outer, load_span
from compute.models.manifest import build_manifest
from compute.models.sources import ModelFiles
from compute.types import Precision, Span

Copy = Callable[[str], ModelFiles]


def same(got: torch.nn.Module, expected: torch.nn.Module) -> bool:
    """Equal parameters and buffers, under equal names."""
    pairs = [(dict(got.named_parameters()), dict(expected.named_parameters()))]
    pairs += [(dict(got.named_buffers()), dict(expected.named_buffers()))]
    return all(a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in b) for a, b in pairs)


def test_every_family_of_the_table_has_a_tiny_model() -> None:
    assert {model_type for model_type, _ in VARIANTS.values()} == set(FAMILIES)


@pytest.mark.parametrize("shards", ["one file", "shards"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_span_has_the_stock_models_weights(variant: str, shards: str, tmp_path: Path) -> None:
    model = tiny_model(variant)
    model.save_pretrained(tmp_path, max_shard_size="20KB" if shards == "shards" else "1GB")
    loaded = load_span(ModelFiles(variant, tmp_path), Span(1, 3))
    stock = model.get_submodule(loaded.family.blocks)
    assert len(loaded.blocks) == 2
    assert same(loaded.blocks[0], stock[1])
    assert same(loaded.blocks[1], stock[2])
    assert not loaded.blocks.training
    assert not any(parameter.requires_grad for parameter in loaded.blocks.parameters())
    if loaded.rotary is not None:
        assert same(loaded.rotary, model.get_submodule(loaded.family.rotary))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_rest_is_the_stock_model_without_its_blocks(variant: str, saved: Copy) -> None:
    stock = load_local_model(saved(variant))
    outer, manifest = load_outer(saved(variant))
    path = FAMILIES[VARIANTS[variant][0]].blocks
    assert len(outer.get_submodule(path)) == 0
    assert manifest.n_blocks == len(stock.get_submodule(path)) == 4
    parent, _, name = path.rpartition(".")
    setattr(stock.get_submodule(parent), name, torch.nn.ModuleList())
    assert same(outer, stock)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_rest_comes_in_the_dtype_asked_for(dtype: torch.dtype, saved: Copy) -> None:
    outer, _ = load_outer(saved("llama"), dtype)
    assert {parameter.dtype for parameter in outer.parameters()} == {dtype}


@pytest.mark.parametrize("variant", ["bloom", "gemma"])
def test_checkpoints_without_the_outermost_module_are_understood(variant: str, tmp_path: Path) -> None:
    """Such are the published BLOOM checkpoints: `h.0...` where the model says `transformer.h.0...`."""
    model = tiny_model(variant)
    tensors = model.base_model.state_dict()
    model.config.save_pretrained(tmp_path)
    from safetensors.torch import save_file

    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    files = ModelFiles(variant, tmp_path)
    loaded = load_span(files, Span(2, 4))
    assert same(loaded.blocks[1], model.get_submodule(loaded.family.blocks)[3])
    outer, _ = load_outer(files)
    assert torch.equal(outer.get_output_embeddings().weight, model.get_output_embeddings().weight)


def test_experts_published_one_by_one_are_fused_as_the_stock_model_does(saved: Copy) -> None:
    files = saved("mixtral")
    stored = Checkpoint(files.directory).names()
    assert any(".experts.0." in name for name in stored), "the checkpoint should be in the published layout"
    loaded = load_span(files, Span(0, 1))
    assert any(parameter.ndim == 3 for parameter in loaded.blocks.parameters())


def test_only_the_spans_own_tensors_are_read(copied: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    tensor = Checkpoint.tensor

    def record(self: Checkpoint, name: str) -> StoredTensor:
        read.append(name)
        return tensor(self, name)

    monkeypatch.setattr(Checkpoint, "tensor", record)
    load_span(copied("llama"), Span(1, 3))
    assert read
    assert all(name.startswith(("model.layers.1.", "model.layers.2.")) for name in read)


def test_shards_of_other_blocks_need_not_be_there(tmp_path: Path) -> None:
    tiny_model("llama").save_pretrained(tmp_path, max_shard_size="20KB")
    files = ModelFiles("llama", tmp_path)
    build_manifest(tmp_path)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    needed = {shard for name, shard in index.items() if name.startswith("model.layers.1.")}
    for shard in set(index.values()) - needed:
        (tmp_path / shard).unlink()
    load_span(files, Span(1, 2))
    with pytest.raises(WeightsCorrupt, match="missing") as raised:
        load_span(files, Span(0, 2))
    assert "safetensors" in str(raised.value)


def test_a_tensor_of_another_shape_is_named(tmp_path: Path) -> None:
    """The hashes agree, so it is the config that does not fit."""
    model = tiny_model("llama")
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "intermediate_size": 64}))
    with pytest.raises(WeightsCorrupt, match=r"layers\.0\.mlp"):
        load_span(ModelFiles("llama", tmp_path), Span(0, 1))


def test_a_tensor_that_the_model_needs_and_nobody_has_is_named(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tiny_model("llama").save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    del tensors["lm_head.weight"], tensors["model.layers.0.mlp.up_proj.weight"]
    file.unlink()
    save_file(tensors, file, {"format": "pt"})
    files = ModelFiles("llama", tmp_path)
    with pytest.raises(WeightsCorrupt) as raised:
        load_span(files, Span(0, 1))
    assert raised.value.tensor == "model.layers.0.mlp.up_proj.weight"
    with pytest.raises(WeightsCorrupt) as raised:
        load_outer(files)
    assert raised.value.tensor == "lm_head.weight"


def test_a_span_beyond_the_model_is_refused(saved: Copy) -> None:
    with pytest.raises(BadRequest, match="0:4") as raised:
        load_span(saved("llama"), Span(3, 5))
    assert raised.value.span == Span(3, 5)


@pytest.mark.parametrize("device", ["no-such-device", "cuda:77"])
def test_a_device_that_is_not_there_is_refused(saved: Copy, device: str) -> None:
    with pytest.raises(BadRequest, match="device"):
        load_span(saved("llama"), Span(0, 1), LoadOptions(device=device))


def test_half_precision_checkpoints_load_exactly(tmp_path: Path) -> None:
    model = tiny_model("qwen2").to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    files = ModelFiles("qwen2", tmp_path)
    wide = load_span(files, Span(0, 1))
    narrow = load_span(files, Span(0, 1), LoadOptions(precision=Precision.BF16))
    stock = model.model.layers[0].state_dict()
    assert all(torch.equal(tensor, stock[name].float()) for name, tensor in wide.blocks[0].state_dict().items())
    assert all(torch.equal(tensor, stock[name]) for name, tensor in narrow.blocks[0].state_dict().items())
    assert narrow.weight_bytes * 2 == wide.weight_bytes


def test_progress_ends_at_its_total(saved: Copy) -> None:
    said: list[tuple[str, int, int]] = []
    load_span(saved("llama"), Span(0, 3), progress=lambda *step: said.append(step))
    assert said[-1] == ("checking weights", 3, 3)


@pytest.mark.model
def test_half_of_the_demo_model_loads_within_a_second(demo_model: Path) -> None:
    import time

    files = ModelFiles("smollm2-135m", demo_model)
    load_span(files, Span(0, 15))
    started_s = time.process_time()
    loaded = load_span(files, Span(15, 30))
    assert time.process_time() - started_s < 1.0
    assert loaded.weight_bytes == 212_405_760
    assert loaded.kv_bytes_per_token == 15 * 1536

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from compute.errors import UnsupportedModel, WeightsCorrupt
from compute.models.loading import load_outer, load_span
from compute.models.manifest import MANIFEST_FILE, build_manifest, load_manifest, load_or_build_manifest
from compute.models.sources import ModelFiles
from compute.types import Span

Saved = Callable[[str], ModelFiles]
BLOCK_TENSOR = "model.layers.2.mlp.down_proj.weight"


@pytest.fixture
def copy(saved: Saved, tmp_path: Path) -> ModelFiles:
    """A tiny Llama of the test's own, with its manifest."""
    directory = tmp_path / "llama"
    shutil.copytree(saved("llama").directory, directory)
    build_manifest(directory)
    return ModelFiles("llama", directory)


def _change(files: ModelFiles, edit: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    path = files.directory / "model.safetensors"
    tensors = load_file(path)
    tensors = {name: value.clone() for name, value in tensors.items()}
    edit(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def test_the_root_does_not_depend_on_how_the_checkpoint_is_cut_into_files(saved: Saved, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    whole = load_or_build_manifest(saved("llama").directory)
    model = AutoModelForCausalLM.from_pretrained(saved("llama").directory)
    model.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert (tmp_path / "shards" / "model.safetensors.index.json").exists()
    assert build_manifest(tmp_path / "shards").root == whole.root
    loaded = load_span(ModelFiles("shards", tmp_path / "shards"), Span(1, 3))
    assert len(loaded.blocks) == 2


def test_a_manifest_read_back_is_the_one_that_was_written(copy: ModelFiles) -> None:
    assert load_manifest(copy.directory) == build_manifest(copy.directory)


def test_a_span_has_a_root_of_its_own_blocks(copy: ModelFiles) -> None:
    manifest = load_manifest(copy.directory)
    before = manifest.span_root(Span(0, 2))
    _change(copy, lambda tensors: tensors[BLOCK_TENSOR].add_(1))
    after = build_manifest(copy.directory)
    assert after.span_root(Span(0, 2)) == before
    assert after.span_root(Span(2, 3)) != manifest.span_root(Span(2, 3))
    assert after.root != manifest.root


def test_a_changed_tensor_is_named_and_only_its_span_refuses(copy: ModelFiles) -> None:
    _change(copy, lambda tensors: tensors[BLOCK_TENSOR][0, 0].add_(1e-3))
    with pytest.raises(WeightsCorrupt, match=BLOCK_TENSOR) as caught:
        load_span(copy, Span(2, 4))
    assert caught.value.tensor == BLOCK_TENSOR
    load_span(copy, Span(0, 2))
    load_outer(copy)


def test_a_missing_tensor_is_named(copy: ModelFiles) -> None:
    _change(copy, lambda tensors: tensors.pop(BLOCK_TENSOR))
    with pytest.raises(WeightsCorrupt, match=BLOCK_TENSOR):
        load_span(copy, Span(2, 3))


def test_a_changed_shape_is_named(copy: ModelFiles) -> None:
    _change(copy, lambda tensors: tensors.update({BLOCK_TENSOR: torch.zeros(3, 3)}))
    with pytest.raises(WeightsCorrupt, match=BLOCK_TENSOR):
        load_span(copy, Span(2, 3))


def test_a_changed_embedding_is_found_by_the_client(copy: ModelFiles) -> None:
    _change(copy, lambda tensors: tensors["model.embed_tokens.weight"][5].add_(1))
    with pytest.raises(WeightsCorrupt, match="embed_tokens"):
        load_outer(copy)


@pytest.mark.parametrize("keep", [0, 7, 100, -10])
def test_a_truncated_file_is_said_to_be_so(copy: ModelFiles, keep: int) -> None:
    path = copy.directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WeightsCorrupt, match=r"model\.safetensors"):
        load_span(copy, Span(0, 1))


def test_missing_weights_are_said_to_be_missing(copy: ModelFiles) -> None:
    (copy.directory / "model.safetensors").unlink()
    with pytest.raises(WeightsCorrupt, match="safetensors only"):
        load_span(copy, Span(0, 1))


def test_another_config_than_the_manifests_is_refused(copy: ModelFiles) -> None:
    config = json.loads((copy.directory / "config.json").read_text())
    config["rms_norm_eps"] = 0.5
    (copy.directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsCorrupt, match=r"config\.json"):
        load_span(copy, Span(0, 1))


def test_another_tokenizer_than_the_manifests_is_refused(copy: ModelFiles) -> None:
    (copy.directory / "tokenizer.json").write_text("{}")
    with pytest.raises(WeightsCorrupt, match="tokenizer"):
        load_span(copy, Span(0, 1))


def _spoiled(data: dict[str, Any], how: str) -> str:
    if how == "leaf":
        data["blocks"][0][next(iter(data["blocks"][0]))] = "00" * 32
    elif how == "root":
        data["root"] = "00" * 32
    elif how == "version":
        data["version"] = 99
    elif how == "short hash":
        data["config_hash"] = "00"
    elif how == "no blocks":
        del data["blocks"]
    elif how == "list":
        return "[]"
    elif how == "junk":
        return "{"
    return json.dumps(data)


@pytest.mark.parametrize("how", ["leaf", "root", "version", "short hash", "no blocks", "list", "junk"])
def test_a_manifest_that_contradicts_itself_is_refused(copy: ModelFiles, how: str) -> None:
    path = copy.directory / MANIFEST_FILE
    path.write_text(_spoiled(json.loads(path.read_text()), how))
    with pytest.raises(WeightsCorrupt, match="manifest"):
        load_manifest(copy.directory)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"model_type": "resnet"}', '{"model_type": "no-such-thing"}'])
def test_a_config_that_is_none_of_ours_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UnsupportedModel):
        build_manifest(tmp_path)


def test_a_shard_index_cannot_lead_outside_the_model(saved: Saved, tmp_path: Path) -> None:
    source = saved("llama").directory
    shutil.copy(source / "config.json", tmp_path)
    outside = str(source / "model.safetensors")
    names = list(load_file(outside))
    index = {"weight_map": dict.fromkeys(names, outside)}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsCorrupt, match=r"model\.safetensors"):
        build_manifest(tmp_path)

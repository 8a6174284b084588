from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig

from compute.errors import ModelError, UnsupportedModel, WeightsCorrupt
from compute.models.checkpoint import Checkpoint, StoredTensor
from compute.models.loading import load_span
from compute.models.manifest import (
    MANIFEST_FILE,
    build_manifest,
    load_manifest,
    load_or_build_manifest,
    read_config,
    tensor_leaf,
)
from compute.models.merkle import merkle_root
from compute.models.sources import ModelFiles
from compute.types import Span

Copy = Callable[[str], ModelFiles]


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_the_manifest_read_back_is_the_one_that_was_written(copied: Copy) -> None:
    directory = copied("llama").directory
    built = build_manifest(directory)
    assert load_manifest(directory) == built
    assert built.n_blocks == 4
    assert built.root == merkle_root([built.config_hash, built.tokenizer_hash, built.outer_root, *built.block_roots])


def test_every_tensor_is_in_exactly_one_part(copied: Copy) -> None:
    directory = copied("mixtral").directory
    manifest = load_manifest(directory)
    names = [*manifest.outer, *(name for block in manifest.blocks for name in block)]
    assert sorted(names) == Checkpoint(directory).names()


def test_a_spans_root_is_over_its_blocks(copied: Copy) -> None:
    manifest = load_manifest(copied("llama").directory)
    assert manifest.span_root(Span(2, 3)) == manifest.block_roots[2]
    assert manifest.span_root(Span(1, 3)) == merkle_root(manifest.block_roots[1:3])
    assert manifest.span_root(Span(0, 2)) != manifest.span_root(Span(1, 3))


def test_sharding_does_not_change_what_the_model_is(copied: Copy, tmp_path: Path) -> None:
    whole = copied("qwen3")
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(whole.directory)
    model.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 3
    assert build_manifest(tmp_path / "shards").root == load_manifest(whole.directory).root


@settings(max_examples=40)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12), st.sampled_from([torch.float32, torch.bfloat16]))
def test_a_leaf_depends_on_name_dtype_shape_and_values(values: list[int], dtype: torch.dtype) -> None:
    tensor = torch.tensor(values, dtype=dtype)
    file = Path("x")
    leaf = tensor_leaf(StoredTensor("a", file, tensor))
    assert leaf == tensor_leaf(StoredTensor("a", Path("y"), tensor.clone()))
    others = [
        StoredTensor("b", file, tensor),
        StoredTensor("a", file, tensor + 1),
        StoredTensor("a", file, tensor[None]),
        StoredTensor("a", file, tensor.to(torch.float16)),
    ]
    assert all(tensor_leaf(other) != leaf for other in others)


def test_a_changed_weight_is_refused_by_its_name(copied: Copy) -> None:
    files = copied("llama")
    from safetensors.torch import load_file, save_file

    path = files.directory / "model.safetensors"
    tensors = load_file(path)
    name = "model.layers.2.mlp.up_proj.weight"
    tensors[name][3, 5] += 1e-6
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(WeightsCorrupt, match="up_proj") as raised:
        load_span(files, Span(1, 3))
    assert raised.value.tensor == name
    load_span(files, Span(0, 2))  # other blocks are still what they were


def test_a_manifest_that_was_edited_contradicts_itself(copied: Copy) -> None:
    directory = copied("llama").directory
    edit(directory / MANIFEST_FILE, lambda data: data["blocks"][0].update({next(iter(data["blocks"][0])): "00" * 32}))
    with pytest.raises(WeightsCorrupt, match="contradicts itself"):
        load_or_build_manifest(directory)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("root"),
        lambda data: data.update(version=99),
        lambda data: data.update(root="00"),
        lambda data: data.update(root="zz" * 32),
        lambda data: data.update(blocks=7),
        lambda data: data.update(outer=[]),
        lambda data: data.update(width="wide"),
    ],
)
def test_a_malformed_manifest_is_a_typed_error(copied: Copy, change: Callable[[dict[str, Any]], None]) -> None:
    directory = copied("llama").directory
    edit(directory / MANIFEST_FILE, change)
    with pytest.raises(WeightsCorrupt, match="manifest"):
        load_manifest(directory)


@pytest.mark.parametrize("text", ["", "[]", "{", "7", '"x"', "\x00\xff"])
def test_garbage_instead_of_a_manifest_is_a_typed_error(copied: Copy, text: str) -> None:
    directory = copied("llama").directory
    (directory / MANIFEST_FILE).write_text(text)
    with pytest.raises(WeightsCorrupt, match="manifest"):
        load_manifest(directory)


def test_another_config_or_tokenizer_is_refused(copied: Copy) -> None:
    directory = copied("llama").directory
    (directory / "tokenizer.json").write_text("{}")
    with pytest.raises(WeightsCorrupt, match="tokenizer"):
        load_manifest(directory)
    edit(directory / "config.json", lambda config: config.update(rope_theta=5.0))
    with pytest.raises(WeightsCorrupt, match="config"):
        load_manifest(directory)


def test_bookkeeping_in_the_config_is_no_other_model(copied: Copy) -> None:
    directory = copied("llama").directory
    edit(directory / "config.json", lambda config: config.update(transformers_version="5.99.0", use_cache=False))
    load_manifest(directory)


def test_a_manifest_about_another_number_of_blocks_is_refused(copied: Copy) -> None:
    files = copied("llama")
    manifest_path = files.directory / MANIFEST_FILE
    manifest = load_manifest(files.directory)
    shorter = type(manifest)(
        manifest.model_type,
        manifest.width,
        manifest.config_hash,
        manifest.tokenizer_hash,
        manifest.outer,
        manifest.blocks[:3],
    )

    def forge(data: dict[str, Any]) -> None:
        data["blocks"].pop()
        data["root"] = shorter.root.hex()

    edit(manifest_path, forge)
    with pytest.raises(WeightsCorrupt, match="3 blocks"):
        load_span(files, Span(0, 1))


def test_a_read_only_directory_is_a_typed_error(copied: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *args: object, **kwargs: object) -> int:
        raise OSError(30, "Read-only file system")

    directory = copied("llama").directory
    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(ModelError, match="Read-only"):
        build_manifest(directory)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.update(model_type="no-such-type"), "config.json"),
        (lambda c: c.update(model_type="gpt2"), "not supported yet"),
        (lambda c: c.update(quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True}), "quantised"),
        (lambda c: c.update(auto_map={"AutoConfig": "evil.Config"}, model_type="evil"), "config.json"),
    ],
)
def test_configs_that_cannot_be_served_are_typed_errors(
    copied: Copy, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    directory = copied("llama").directory
    edit(directory / "config.json", change)
    with pytest.raises(UnsupportedModel, match=said):
        read_config(directory)


def test_a_model_of_more_than_text_is_refused(tmp_path: Path) -> None:
    from transformers import CONFIG_MAPPING

    CONFIG_MAPPING["gemma3"]().save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModel, match="more than text"):
        read_config(tmp_path)


def test_blocks_that_the_checkpoint_lacks_are_named(copied: Copy) -> None:
    directory = copied("llama").directory
    edit(directory / "config.json", lambda config: config.update(num_hidden_layers=6))
    with pytest.raises(WeightsCorrupt, match="no tensors of block 4, 5"):
        build_manifest(directory)


def test_blocks_beyond_the_config_are_no_part_of_the_model(copied: Copy) -> None:
    """Some checkpoints carry one more, for speculation."""
    directory = copied("llama").directory
    roots = load_manifest(directory).block_roots
    edit(directory / "config.json", lambda config: config.update(num_hidden_layers=3))
    manifest = build_manifest(directory)
    assert manifest.block_roots == roots[:3]
    with pytest.raises(WeightsCorrupt, match="does not know") as raised:
        manifest.leaf_of("model.layers.3.mlp.up_proj.weight")
    assert raised.value.tensor == "model.layers.3.mlp.up_proj.weight"


@pytest.mark.parametrize("text", ["", "[]", "{", "7"])
def test_garbage_instead_of_a_config_is_a_typed_error(copied: Copy, text: str) -> None:
    directory = copied("llama").directory
    (directory / "config.json").write_text(text)
    with pytest.raises(UnsupportedModel, match=r"config\.json"):
        read_config(directory)
    with pytest.raises(ModelError):
        load_manifest(directory)


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_rotary_embeddings_that_depend_on_the_batch_are_refused(kind: str, tmp_path: Path) -> None:
    rope: dict[str, object] = {"rope_type": kind, "rope_theta": 10000.0, "factor": 2.0}
    if kind == "longrope":
        rope |= {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4, "original_max_position_embeddings": 64}
    config = LlamaConfig(hidden_size=32, num_attention_heads=4, num_hidden_layers=2, rope_parameters=rope)
    config.save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModel, match="depend on the batch"):
        read_config(tmp_path)

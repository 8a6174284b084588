from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compute.errors import WeightsCorrupt
from compute.models.checkpoint import Checkpoint
from compute.models.loading import load_span
from compute.models.sources import ModelFiles
from compute.types import Span

Copy = Callable[[str], ModelFiles]
NAME = "model.layers.1.mlp.up_proj.weight"


def test_a_directory_without_weights_says_what_is_read(tmp_path: Path) -> None:
    with pytest.raises(WeightsCorrupt, match="safetensors only"):
        Checkpoint(tmp_path)


def test_a_tensor_that_is_not_there_is_named(copied: Copy) -> None:
    with pytest.raises(WeightsCorrupt, match="has no tensor") as raised:
        Checkpoint(copied("llama").directory).tensor("no.such")
    assert raised.value.tensor == "no.such"


@pytest.mark.parametrize("kept", [0, 5, 8, 400, -1])
def test_a_truncated_file_is_a_typed_error(copied: Copy, kept: int) -> None:
    directory = copied("llama").directory
    file = directory / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(WeightsCorrupt, match=r"model\.safetensors"):
        Checkpoint(directory)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 1 << 20), value=st.integers(0, 255))
def test_a_flipped_byte_is_found_or_is_in_another_span(copied: Copy, tmp_path: Path, at: int, value: int) -> None:
    """Any single byte, header included: the span either has its true weights or is refused with a typed error."""
    directory = tmp_path / "llama"
    files = ModelFiles("llama", directory) if directory.exists() else copied("llama")
    file = directory / "model.safetensors"
    original = file.read_bytes()
    damaged = bytearray(original)
    damaged[at % len(damaged)] = value
    expected = {name: tensor.clone() for name, tensor in load_span(files, Span(1, 2)).blocks.state_dict().items()}
    try:
        file.unlink()  # a mapped file must not change below those who hold it
        file.write_bytes(damaged)
        try:
            got = load_span(files, Span(1, 2)).blocks.state_dict()
        except WeightsCorrupt:
            return
        assert all(got[name].equal(tensor) for name, tensor in expected.items())
    finally:
        file.unlink()
        file.write_bytes(original)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"weight_map": 3}'])
def test_a_malformed_index_is_a_typed_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(WeightsCorrupt, match="index"):
        Checkpoint(tmp_path)


def test_an_index_cannot_point_out_of_the_directory(copied: Copy, tmp_path: Path) -> None:
    outside = copied("llama").directory / "model.safetensors"
    inside = tmp_path / "inside"
    inside.mkdir()
    for shard in (str(outside), "../llama/model.safetensors"):
        (inside / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {NAME: shard}}))
        with pytest.raises(WeightsCorrupt, match="inside"):
            Checkpoint(inside).tensor(NAME)

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import VARIANTS, tiny_model

from compute.errors import BadRequest, UnknownModel, WeightsCorrupt
from compute.models import quant_cache
from compute.models.loading import LoadOptions, load_outer, load_span
from compute.models.manifest import load_or_build_manifest
from compute.models.sources import ModelFiles, cached_models, resolve
from compute.runner.selftest import self_test
from compute.types import Precision, Span

Saved = Callable[[str], ModelFiles]
QUANTISED = [Precision.INT8, Precision.NF4, Precision.INT8_CPU]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_span_has_the_weights_of_the_stock_model(variant: str, saved: Saved) -> None:
    model = tiny_model(variant)
    loaded = load_span(saved(variant), Span(1, 3))
    stock = model.get_submodule(loaded.family.blocks)
    for number, block in enumerate(loaded.blocks, start=1):
        expected = dict(stock[number].named_parameters())
        got = dict(block.named_parameters())
        assert got.keys() == expected.keys()
        assert all(torch.equal(got[name], expected[name]) for name in got)
        assert not any(p.requires_grad or p.is_meta for p in block.parameters())


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_outer_part_has_everything_but_blocks(variant: str, saved: Saved) -> None:
    model = tiny_model(variant)
    outer, manifest = load_outer(saved(variant))
    got = dict(outer.named_parameters())
    expected = {n: p for n, p in model.named_parameters() if n in got}
    assert got
    assert all(torch.equal(got[name], expected[name]) for name in got)
    assert not any(t.is_meta for t in (*outer.parameters(), *outer.buffers()))
    assert manifest.n_blocks == 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_outer_part_comes_in_the_dtype_asked_for(dtype: torch.dtype, saved: Saved) -> None:
    outer, _ = load_outer(saved("llama"), dtype)
    assert {p.dtype for p in outer.parameters()} == {dtype}


def test_blocks_beyond_the_model_are_the_callers_mistake(saved: Saved) -> None:
    with pytest.raises(BadRequest, match="has blocks 0:4"):
        load_span(saved("llama"), Span(3, 5))


def test_only_the_spans_tensors_are_read(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    from compute.models.checkpoint import Checkpoint

    files = saved("llama")
    load_or_build_manifest(files.directory)
    read: list[str] = []
    original = Checkpoint.tensor
    monkeypatch.setattr(Checkpoint, "tensor", lambda self, name: (read.append(name), original(self, name))[1])
    load_span(files, Span(2, 3))
    assert read
    assert all(name.startswith("model.layers.2.") for name in read)


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.BF16, *QUANTISED])
@pytest.mark.parametrize("variant", ["llama", "gpt_neox", "bloom"])
def test_every_precision_computes_what_its_own_eager_blocks_compute(
    variant: str, precision: Precision, saved: Saved, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PEERZ_CACHE", str(tmp_path))
    loaded = load_span(saved(variant), Span(0, 2), LoadOptions(precision=precision))
    report = self_test(loaded)
    assert max(report.errors.values()) <= report.tolerance
    assert loaded.precision is precision
    assert loaded.quant_spec.startswith(precision.value)


def test_auto_decides_and_never_for_a_lossy_precision(saved: Saved) -> None:
    loaded = load_span(saved("llama"), Span(0, 1), LoadOptions(precision=Precision.AUTO))
    assert loaded.precision in (Precision.FP32, Precision.BF16)


def _outputs(files: ModelFiles, precision: Precision) -> torch.Tensor:
    from compute.runner.naive import naive_outputs

    loaded = load_span(files, Span(1, 3), LoadOptions(precision=precision))
    x = torch.randn(7, loaded.width, generator=torch.Generator().manual_seed(0))
    return naive_outputs(loaded, Span(1, 3), x)


@pytest.mark.parametrize("precision", QUANTISED)
def test_a_quantised_span_comes_back_from_disk_the_same(
    precision: Precision, saved: Saved, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PEERZ_CACHE", str(tmp_path))
    fresh = _outputs(saved("llama"), precision)
    (stored,) = (tmp_path / "quantised").iterdir()
    written = stored.stat().st_mtime_ns
    assert torch.equal(_outputs(saved("llama"), precision), fresh)
    assert stored.stat().st_mtime_ns == written


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "unhashed"])
def test_a_damaged_quantised_span_is_made_anew(
    damage: str, saved: Saved, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PEERZ_CACHE", str(tmp_path))
    fresh = _outputs(saved("llama"), Precision.INT8_CPU)
    (stored,) = (tmp_path / "quantised").iterdir()
    data = bytearray(stored.read_bytes())
    if damage == "flip":
        data[-5] ^= 1
    elif damage == "unhashed":
        data = bytearray(bytes(data).replace(quant_cache._HASHES.encode(), b"x" * len(quant_cache._HASHES)))
    stored.write_bytes({"truncate": data[: len(data) // 2], "empty": b""}.get(damage, data))
    assert torch.equal(_outputs(saved("llama"), Precision.INT8_CPU), fresh)
    assert "made anew" in caplog.text
    assert torch.equal(_outputs(saved("llama"), Precision.INT8_CPU), fresh)


def test_corrupt_weights_are_found_before_they_are_quantised(
    saved: Saved, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import shutil

    monkeypatch.setenv("PEERZ_CACHE", str(tmp_path / "cache"))
    directory = tmp_path / "llama"
    load_or_build_manifest(saved("llama").directory)
    shutil.copytree(saved("llama").directory, directory)
    path = directory / "model.safetensors"
    tensors = {name: value.clone() for name, value in load_file(path).items()}
    tensors["model.layers.1.mlp.up_proj.weight"][0, 0] += 1
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(WeightsCorrupt, match=r"model\.layers\.1\.mlp\.up_proj"):
        load_span(ModelFiles("llama", directory), Span(0, 4), LoadOptions(precision=Precision.INT8_CPU))


def test_names_that_lead_nowhere_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownModel, match="peerz-node model get smollm2-135m"):
        resolve("smollm2-135m", tmp_path)
    with pytest.raises(UnknownModel, match="hub id"):
        resolve("no-such-model", tmp_path)
    with pytest.raises(UnknownModel, match=r"without a config\.json"):
        resolve(str(tmp_path), tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UnknownModel, match="hub did not give"):
        resolve("nobody/nothing-here", tmp_path)


def test_models_in_the_cache_are_listed_by_name(saved: Saved, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(saved("llama").directory, tmp_path / "models" / "mine")
    assert [files.name for files in cached_models(tmp_path)] == ["mine"]
    assert resolve("mine", tmp_path).directory == tmp_path / "models" / "mine"

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from compute.errors import WeightsCorrupt
from compute.models import loading
from compute.models.checkpoint import Checkpoint
from compute.models.linears import FORMATS
from compute.models.loading import LoadOptions, load_span
from compute.models.quant_cache import QuantCache
from compute.models.sources import ModelFiles
from compute.models.span import LoadedSpan
from compute.runner.naive import naive_outputs
from compute.types import Precision, Span

Copy = Callable[[str], ModelFiles]
INT8_CPU = LoadOptions(precision=Precision.INT8_CPU)
ROOT = bytes(range(32))


def outputs(loaded: LoadedSpan) -> torch.Tensor:
    x = torch.randn(7, loaded.width, generator=torch.Generator().manual_seed(0))
    return naive_outputs(loaded, loaded.span, x)


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache").rglob("*.safetensors"))


@pytest.mark.parametrize("precision", sorted(FORMATS))
@pytest.mark.parametrize("variant", ["llama", "bloom"])
def test_a_second_start_computes_the_same_without_the_models_weights(
    variant: str, precision: Precision, copied: Copy
) -> None:
    files, options = copied(variant), LoadOptions(precision=precision)
    first = outputs(load_span(files, Span(1, 3), options))
    for file in files.directory.glob("*.safetensors"):
        file.unlink()
    (files.directory / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    assert torch.equal(outputs(load_span(files, Span(1, 3), options)), first)


def test_overlapping_spans_share_blocks(copied: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = copied("llama")
    load_span(files, Span(0, 3), INT8_CPU)
    assert [path.name for path in kept(tmp_path)] == [f"block-0000{i}.safetensors" for i in range(3)]
    made: list[object] = []
    quantise = loading.quantise_block
    monkeypatch.setattr(loading, "quantise_block", lambda *args: made.append(args) or quantise(*args))
    load_span(files, Span(1, 4), INT8_CPU)
    assert len(made) == 1


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip_last(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def flip_first_tensor(data: bytes) -> bytes:
    start = 8 + int.from_bytes(data[:8], "little")
    return data[:start] + bytes([data[start] ^ 1]) + data[start + 1 :]


def other_block(data: bytes) -> bytes:
    return data.replace(b'"block":"1"', b'"block":"2"')


def no_metadata(data: bytes) -> bytes:
    return data.replace(b'"root"', b'"toor"')


@pytest.mark.parametrize("damage", [cut, flip_last, flip_first_tensor, other_block, no_metadata, lambda data: b""])
def test_a_damaged_file_is_made_again_and_never_trusted(
    damage: Callable[[bytes], bytes], copied: Copy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = copied("llama")
    first = outputs(load_span(files, Span(1, 2), INT8_CPU))
    (path,) = kept(tmp_path)
    good = path.read_bytes()
    tensors = load_file(path)
    path.unlink()
    path.write_bytes(damage(good))
    assert path.read_bytes() != good
    assert torch.equal(outputs(load_span(files, Span(1, 2), INT8_CPU)), first)
    assert "made again" in caplog.text
    again = load_file(path)
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())


def test_a_whole_file_with_other_tensors_is_made_again(copied: Copy, tmp_path: Path) -> None:
    """Such as one that another version wrote."""
    files = copied("llama")
    loaded = load_span(files, Span(1, 2), INT8_CPU)
    cache = QuantCache(loaded.model_root, loaded.quant_spec)
    cache.put(1, {"plain/other.weight": torch.zeros(3)})
    assert torch.equal(outputs(load_span(files, Span(1, 2), INT8_CPU)), outputs(loaded))
    assert len(cache.get(1) or {}) > 1


def test_other_models_and_specifications_have_files_of_their_own(tmp_path: Path) -> None:
    cache = QuantCache(ROOT, "int8(threshold=6.0)")
    cache.put(3, {"x": torch.arange(4)})
    assert torch.equal((cache.get(3) or {})["x"], torch.arange(4))
    assert cache.get(4) is None
    for other in (QuantCache(bytes(32), "int8(threshold=6.0)"), QuantCache(ROOT, "int8(threshold=5.0)")):
        assert other.get(3) is None
        assert other.path(3) != cache.path(3)
        other.path(3).parent.mkdir(parents=True)
        other.path(3).write_bytes(cache.path(3).read_bytes())
        assert other.get(3) is None  # moved here from elsewhere
        assert not other.path(3).exists()


def test_a_specification_cannot_leave_the_cache(tmp_path: Path) -> None:
    path = QuantCache(ROOT, "../../evil/..", tmp_path).path(0)
    assert path.resolve().is_relative_to(tmp_path / "quantised" / ROOT.hex())


def test_a_full_disk_costs_a_warning_only(
    copied: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("compute.models.quant_cache.save_file", refuse)
    load_span(copied("llama"), Span(0, 1), INT8_CPU)
    assert "No space left" in caplog.text
    assert kept(tmp_path) == []


@pytest.mark.parametrize("off", ["verify", "quant_cache"])
def test_nothing_is_kept_that_is_unverified_or_unwanted(off: str, copied: Copy, tmp_path: Path) -> None:
    load_span(copied("llama"), Span(0, 1), replace(INT8_CPU, **{off: False}))
    assert kept(tmp_path) == []


def test_corrupt_weights_are_found_before_they_are_quantised(
    copied: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = copied("llama")
    tensor = Checkpoint.tensor

    def spoilt(self: Checkpoint, name: str) -> object:
        stored = tensor(self, name)
        return type(stored)(name, stored.file, stored.value + 1)

    monkeypatch.setattr(Checkpoint, "tensor", spoilt)
    with pytest.raises(WeightsCorrupt, match=r"layers\.0"):
        load_span(files, Span(0, 4), INT8_CPU)
    assert kept(tmp_path) == []

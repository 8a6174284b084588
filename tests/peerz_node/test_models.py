"""`peerz-node model`, against a cache of this test's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PEERZ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def a_model(cache: Path, name: str) -> Path:
    directory = cache / "models" / name
    directory.mkdir(parents=True)
    (directory / "config.json").write_text("{}")
    return directory


def test_an_empty_cache_lists_what_can_be_fetched(peerz: Any, cache: Path) -> None:
    result = peerz("model", "list")
    assert result.exit_code == 0
    assert "not fetched: peerz-node model get smollm2-135m" in result.stdout


def test_models_of_the_cache_come_with_size_and_place(peerz: Any, cache: Path) -> None:
    directory = a_model(cache, "mine")
    assert f"2 B  {directory}" in peerz("model", "list").stdout
    rows = json.loads(peerz("model", "list", "--json").stdout)
    assert rows[0] == {"name": "mine", "directory": str(directory), "bytes": 2}
    assert rows[1]["directory"] is None


def test_the_cache_can_be_set_in_the_file(peerz: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERZ_CACHE", "")  # put back after the test
    a_model(tmp_path / "elsewhere", "mine")
    (tmp_path / "c.toml").write_text(f'cache = "{tmp_path}/elsewhere"')
    assert "mine" in peerz("--config", str(tmp_path / "c.toml"), "model", "list").stdout


@pytest.mark.parametrize("command", [("model", "get"), ("model", "inspect")])
def test_an_unknown_model_ends_with_three_and_a_hint(peerz: Any, cache: Path, command: tuple[str, ...]) -> None:
    result = peerz(*command, "no-such-model")
    assert result.exit_code == 3
    assert "no-such-model" in result.stderr
    assert "smollm2-135m" in result.stderr


def test_a_demo_model_that_is_not_there_says_how_to_get_it(peerz: Any, cache: Path) -> None:
    result = peerz("model", "inspect", "smollm2-135m")
    assert result.exit_code == 3
    assert "peerz-node model get smollm2-135m" in result.stderr


def test_what_is_no_gguf_is_refused(peerz: Any, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"nonsense")
    result = peerz("model", "import", str(tmp_path / "x.gguf"))
    assert result.exit_code == 3
    assert "is not a GGUF file" in result.stderr


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", ""])
def test_a_name_that_leaves_the_cache_is_refused(peerz: Any, cache: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    result = peerz("model", "import", str(tmp_path / "x.gguf"), "--name", name or "..")
    assert result.exit_code == 2
    assert "cannot be a model's name" in result.stderr

"""Copies of tiny saved models that a test may damage."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from compute.models.manifest import load_or_build_manifest
from compute.models.sources import ModelFiles


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here writes into the user's cache; those about the demo model look there."""
    if "demo_model" not in request.fixturenames:
        monkeypatch.setenv("PEERZ_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def copied(saved: Callable[[str], ModelFiles], tmp_path: Path) -> Callable[[str], ModelFiles]:
    """The files of a variant with its manifest, for this test alone."""

    def copy(variant: str) -> ModelFiles:
        files = saved(variant)
        load_or_build_manifest(files.directory)
        return ModelFiles(variant, Path(shutil.copytree(files.directory, tmp_path / variant)))

    return copy

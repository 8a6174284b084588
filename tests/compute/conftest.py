"""Tiny saved models and their spans, for every test of the compute half."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from compute.models.sources import ModelFiles


def _tiny_models() -> ModuleType:
    """The neighbouring module, importable by its name from every test."""
    name = "tiny_models"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


tiny_models = _tiny_models()


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ModelFiles]:
    """Saves the tiny model of a variant as a checkpoint, once, and gives its files."""
    made: dict[str, ModelFiles] = {}

    def save(variant: str) -> ModelFiles:
        if variant not in made:
            directory = tmp_path_factory.mktemp("models") / variant
            tiny_models.tiny_model(variant).save_pretrained(directory)
            made[variant] = ModelFiles(str(directory), directory)
        return made[variant]

    return save

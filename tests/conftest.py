"""Fixtures for all tests: the demo model, once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Set before torch loads: waiting threads must not spin on cores that other processes of a test need.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def demo_model() -> Path:
    """Directory of SmolLM2-135M-Instruct; the test is skipped where it has not been fetched."""
    from compute.errors import UnknownModel
    from compute.models.sources import resolve

    try:
        return resolve("smollm2-135m").directory
    except UnknownModel:
        pytest.skip("the demo model is not in the cache: run `peerz-node model get smollm2-135m`")

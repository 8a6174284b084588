"""Fixtures for all tests: the demo model, once; golden vectors."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite-vectors",
        action="store_true",
        help="write tests/vectors/*.json anew instead of comparing: only for a wanted change of the protocol",
    )


@pytest.fixture
def check_vectors(request: pytest.FixtureRequest) -> Callable[[str, object], None]:
    """Called with a name and what the code makes now: compares with `tests/vectors/NAME.json`, or rewrites that."""

    def check(name: str, made: object) -> None:
        path = Path(__file__).parent / "vectors" / f"{name}.json"
        if request.config.getoption("--rewrite-vectors"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(made, indent=2) + "\n")
        assert made == json.loads(path.read_text()), f"{path.name} differs: peers of other versions would not agree"

    return check

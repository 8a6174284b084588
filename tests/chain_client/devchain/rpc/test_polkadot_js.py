"""The stock JavaScript library, where Node is: it is fetched once, into a cache outside of the repository."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ServedChain

PACKAGE = "@polkadot/api@16.5.6"
SCRIPT = Path(__file__).parent / "polkadot_js.mjs"
INSTALL_S, RUN_S = 300, 100


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "peerz-tests" / PACKAGE.replace("/", "-")


@pytest.fixture(scope="module")
def packages() -> Path:
    """A directory below which Node finds the library."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("Node is not installed; substrate-interface covers the same methods")
    directory = _cache()
    done = directory / "complete"
    if not done.exists():
        directory.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(directory), PACKAGE]
        result = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        if result.returncode:
            pytest.skip(f"{PACKAGE} cannot be fetched here: {result.stderr.strip()[-200:]}")
        done.touch()
    return directory


@pytest.mark.slow
@pytest.mark.timeout(INSTALL_S + RUN_S)
def test_polkadot_js_connects_signs_watches_and_decodes(served_chain: ServedChain, packages: Path) -> None:
    with served_chain() as chain:
        result = subprocess.run(
            ["node", str(SCRIPT), chain.url, str(packages / "package.json")],
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )
    assert result.returncode == 0, result.stderr[-3000:]
    said = json.loads(result.stdout.splitlines()[-1])
    assert said["seen"][-1] == "Finalized"
    assert said["accounts"] >= 2
    assert int(said["fee"]) > 0

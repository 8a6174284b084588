"""The committed runtime blob is the one that the committed sources give."""

import json
import subprocess
import sys
from pathlib import Path

import zstandard

ROOT = Path(__file__).parents[2]
BLOB = ROOT / "chain_client/devchain/peerz_runtime.compact.compressed.wasm"


def test_the_blob_was_built_from_the_sources_that_lie_here() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "pallets/build-runtime"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_blob_is_a_substrate_blob_of_the_recorded_size() -> None:
    blob = BLOB.read_bytes()
    record = json.loads(BLOB.with_name("peerz_runtime.json").read_text())
    assert blob[:8] == bytes([0x52, 0xBC, 0x53, 0x76, 0x46, 0xDB, 0x8E, 0x05])
    wasm = zstandard.ZstdDecompressor().decompress(blob[8:], max_output_size=64 << 20)
    assert wasm.startswith(b"\0asm")
    assert len(wasm) == record["wasm_bytes"]


def test_the_blob_names_no_path_of_the_machine_that_built_it() -> None:
    wasm = zstandard.ZstdDecompressor().decompress(BLOB.read_bytes()[8:], max_output_size=64 << 20)
    for trace in (b"/root/", b"/home/", b"/tmp/", b".cargo/registry"):
        assert trace not in wasm

"""`peerz-node chain`: a real chain in a process, and what the commands say of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from peerz_node.children import NodeProcess
from peerz_node.errors import EXIT_INTERRUPTED

READY_S = 60.0


class RunningChain:
    """A `chain run` that serves."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.ready = directory / "ready.json"
        self.log = directory / "chain.log"
        arguments = ["chain", "run", "--port", "0", *options]
        self.process = NodeProcess(arguments, log=self.log, ready_file=self.ready)
        self.facts: dict[str, Any] = self.process.wait_ready(READY_S)

    @property
    def url(self) -> str:
        return str(self.facts["url"])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningChain]:
    chain = RunningChain(tmp_path_factory.mktemp("chain"), "--seal", "interval:50ms")
    yield chain
    chain.process.close()


def test_a_chain_says_where_it_is(shared: RunningChain) -> None:
    assert shared.facts.keys() == {"pid", "url", "genesis_hash", "best_number", "seal", "data"}
    assert shared.facts["pid"] == shared.process.pid
    log = shared.log.read_text()
    assert f"JSON-RPC: {shared.url}" in log
    assert shared.facts["genesis_hash"] in log


def test_status_for_people_and_machines(shared: RunningChain, peerz: Any) -> None:
    shown = peerz("chain", "status", "--chain", shared.url)
    assert shown.exit_code == 0
    assert shared.facts["genesis_hash"] in shown.stdout
    told = json.loads(peerz("chain", "status", "--json", "--chain", shared.url).stdout)
    assert (told["spec_name"], told["pending"]) == ("peerz", 0)
    assert 0 <= told["finalised_number"] - told["best_number"] <= 5


def test_the_url_may_be_a_setting(shared: RunningChain, peerz: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERZ_CHAIN", shared.url)
    assert shared.url in peerz("chain", "status").stdout


def test_export_is_the_whole_state(shared: RunningChain, peerz: Any, tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    assert peerz("chain", "export", str(file), "--at", "0", "--chain", shared.url).exit_code == 0
    spec = json.loads(file.read_text())
    top = {bytes.fromhex(key[2:]): bytes.fromhex(value[2:]) for key, value in spec["genesis"]["raw"]["top"].items()}
    from chain_client.devchain.genesis import CODE_KEY
    from chain_client.devchain.header import HASH_BYTES, Header
    from chain_client.devchain.runtime import RUNTIME_FILE
    from chain_client.devchain.trie import EMPTY_ROOT, Trie

    assert top[CODE_KEY] == RUNTIME_FILE.read_bytes()
    header = Header(bytes(HASH_BYTES), 0, Trie.of(top).root(), EMPTY_ROOT)
    assert f"0x{header.hash.hex()}" == shared.facts["genesis_hash"]
    piped = peerz("chain", "export", "--at", "0", "--chain", shared.url)
    assert json.loads(piped.stdout) == spec


@pytest.mark.parametrize("at", ["best", "finalised"])
def test_export_of_a_late_block(shared: RunningChain, peerz: Any, at: str) -> None:
    spec = json.loads(peerz("chain", "export", "--at", at, "--chain", shared.url).stdout)
    assert spec["id"] == "peerz_development"
    assert len(spec["genesis"]["raw"]["top"]) > 10


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, EXIT_INTERRUPTED), (signal.SIGTERM, 0)])
def test_signals_end_it_and_the_chain_is_kept(tmp_path: Path, number: signal.Signals, code: int) -> None:
    kept = str(tmp_path / "kept")
    first = RunningChain(tmp_path, "--data", kept, "--seal", "interval:20ms")
    first.process.signal(number)
    assert first.process.process.wait(20) == code
    assert not first.ready.exists()
    assert "Traceback" not in first.log.read_text()
    second = RunningChain(tmp_path, "--data", kept, "--seal", "manual")
    assert second.facts["genesis_hash"] == first.facts["genesis_hash"]
    assert second.facts["data"] == kept
    second.process.close()


def test_a_chain_in_use_and_a_port_in_use_are_one_sentence(tmp_path: Path, peerz: Any, shared: RunningChain) -> None:
    port = shared.url.rsplit(":", 1)[1]
    taken = peerz("chain", "run", "--port", port)
    assert taken.exit_code != 0
    assert f"port {port} of 127.0.0.1 cannot be used" in taken.stderr
    (tmp_path / "file").write_text("x")
    damaged = tmp_path / "chain"
    damaged.mkdir()
    (damaged / "chain.sqlite").write_bytes(b"no database" * 1000)
    refused = peerz("chain", "run", "--port", "0", "--data", str(damaged))
    assert refused.exit_code != 0
    assert "the chain cannot start" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["run", "--seal", "fast"], "instant, manual, or interval:2s"),
        (["run", "--port", "70000"], "70000"),
        (["status", "--chain", "http://127.0.0.1"], "is no URL of a chain"),
        (["export", "--at", "yesterday"], "best, finalised, or a block number"),
    ],
)
def test_options_that_cannot_be_used(peerz: Any, arguments: list[str], text: str) -> None:
    result = peerz("chain", *arguments)
    assert result.exit_code != 0
    assert text in result.stderr


def test_where_no_chain_is_the_way_to_one_is_told(peerz: Any) -> None:
    result = peerz("chain", "status", "--chain", "ws://127.0.0.1:9")
    assert result.exit_code == 4
    assert "no chain answers at ws://127.0.0.1:9" in result.stderr
    assert "peerz-node chain run" in result.stderr


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"", "does not answer in JSON-RPC"),
        (b"<html>", "does not answer in JSON-RPC"),
        (b"[" * 100_000, "does not answer in JSON-RPC"),
        (b'{"result": 7}', "with something else than a chain does"),
        (b'{"error": {"code": 1, "message": "not today"}}', "refuses chain_getBlockHash: not today"),
        (b'{"error": "no"}', "refuses chain_getBlockHash: no"),
        (b'{"error": "\\u001b[2Jno"}', "refuses chain_getBlockHash: ?[2Jno"),
        (b'{"result": "0x11\\u001b[2J"}', "with something else than a chain does"),
    ],
)
def test_what_is_no_chain_is_told_from_one(peerz: Any, answer: bytes, text: str) -> None:
    with _answering(lambda method, params: answer) as url:
        result = peerz("chain", "status", "--chain", url)
    assert result.exit_code == 1
    assert text in result.stderr


@pytest.mark.parametrize("page", [["0x01"], ["0x02", "0x01"], ["0x"], ["\x1b[2J"], [{"a": 1}], [7]])
def test_pages_of_keys_that_do_not_go_on_end_the_export(peerz: Any, page: list[object]) -> None:
    def answer(method: str, params: list[Any]) -> bytes:
        if method == "state_getKeysPaged":
            result: object = page
        elif method == "state_queryStorageAt":
            result = [{"changes": [[key, "0x00"] for key in params[0]]}]
        else:
            result = "0x" + "11" * 32
        return json.dumps({"result": result}).encode()

    with _answering(answer) as url:
        result = peerz("chain", "export", "--chain", url)
    assert result.exit_code == 1
    assert "answers state_getKeysPaged with something else" in result.stderr


def test_what_a_chain_calls_itself_does_not_steer_the_terminal(peerz: Any) -> None:
    answers = {
        "system_chain": "a\x1b[2Jb\nc",
        "state_getRuntimeVersion": {"specVersion": 1, "specName": "\x1b]0;x\x07"},
        "chain_getHeader": {"number": "0x1"},
        "author_pendingExtrinsics": [],
    }
    with _answering(
        lambda method, params: json.dumps({"result": answers.get(method, "0x" + "11" * 32)}).encode()
    ) as url:
        shown = peerz("chain", "status", "--chain", url).stdout
    assert shown.startswith("a?[2Jb?c at ")
    assert "\x1b" not in shown


def test_an_export_that_cannot_be_written_or_is_not_there_yet_is_one_sentence(
    shared: RunningChain, peerz: Any, tmp_path: Path
) -> None:
    unwritable = peerz("chain", "export", str(tmp_path / "none" / "spec.json"), "--chain", shared.url)
    assert (unwritable.exit_code, "choose another file" in unwritable.stderr) == (2, True)
    early = peerz("chain", "export", "--at", "4000000000", "--chain", shared.url)
    assert (early.exit_code, "no block 4000000000 yet" in early.stderr) == (1, True)


@contextmanager
def _answering(answer: Callable[[str, list[Any]], bytes]) -> Iterator[str]:
    """The URL of something that answers each call of JSON-RPC with these bytes."""

    class Stranger(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer(asked["method"], asked["params"]))

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_running_a_chain_loads_no_tensor_library() -> None:
    program = "import sys, peerz_node.cli, peerz_node.chain_node; print({'torch', 'transformers'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"

"""SIGKILL at any moment while transactions flow: what a client was told is final is there, and whole."""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from conftest import ServedChain
from devchain_tools import ALICE, BOB, transfer_call
from websocket import WebSocketConnectionClosedException, create_connection

from chain_client.devchain.chain import Chain
from chain_client.devchain.executor import Executor
from chain_client.devchain.runtime import Runtimes
from chain_client.devchain.service import STORE_NAME
from chain_client.devchain.sqlite_store import SqliteStore

ROUNDS = 8
ROOT = Path(__file__).parents[4]
READY_S = 60.0


class Victim:
    """A `chain run` in a process of its own."""

    def __init__(self, directory: Path, seal: str) -> None:
        self._ready = directory / "ready.json"
        command = ["chain", "run", "--seal", seal, "--port", "0"]
        command += ["--data", str(directory / "chain"), "--ready-file", str(self._ready)]
        self._log = (directory / "log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "peerz_node", *command], cwd=ROOT, stdout=self._log, stderr=self._log
        )

    def url(self) -> str:
        deadline = time.monotonic() + READY_S
        while not self._ready.exists():
            assert self._process.poll() is None, "it ended at start"
            assert time.monotonic() < deadline, "it is not ready in time"
            time.sleep(0.01)
        return str(json.loads(self._ready.read_text())["url"])

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._log.close()
        self._ready.unlink(missing_ok=True)


class Customer:
    """Sends transfers as fast as it can and remembers every block that it was told is final."""

    def __init__(self, url: str, reference: Chain) -> None:
        self.final: list[str] = []
        self.error: Exception | None = None
        self._told = threading.Condition()
        self._url = url
        self._reference = reference

    def wait_for(self, count: int) -> None:
        """Until it was told of so many."""
        with self._told:
            assert self._told.wait_for(lambda: len(self.final) >= count, READY_S), self.error

    def run(self) -> None:
        """Until the connection ends."""
        try:
            with closing(create_connection(self._url, timeout=READY_S)) as socket:
                self._trade(socket)
        except (OSError, WebSocketConnectionClosedException):
            pass  # killed
        except Exception as error:
            self.error = error

    def _trade(self, socket) -> None:  # type: ignore[no-untyped-def]
        def send(method: str, *params: object) -> None:
            socket.send(json.dumps({"jsonrpc": "2.0", "id": method, "method": method, "params": params}))

        send("system_accountNextIndex", f"0x{ALICE.public.hex()}")
        nonce = json.loads(socket.recv())["result"]
        for _ in range(20):
            signed = ALICE.sign(self._reference, transfer_call(BOB.public, 10**9), nonce)
            nonce += 1
            send("author_submitAndWatchExtrinsic", f"0x{signed.hex()}")
        while True:
            message = json.loads(socket.recv())
            assert "error" not in message, message
            status = message.get("params", {}).get("result")
            if isinstance(status, dict) and "finalized" in status:
                with self._told:
                    self.final.append(status["finalized"])
                    self._told.notify_all()
                signed = ALICE.sign(self._reference, transfer_call(BOB.public, 10**9), nonce)
                nonce += 1
                send("author_submitAndWatchExtrinsic", f"0x{signed.hex()}")


@pytest.mark.slow
@pytest.mark.parametrize("seal", ["instant", "interval:20ms"])
@pytest.mark.timeout(400)
def test_no_final_block_is_lost_or_half_written(
    tmp_path: Path, compiled: Path, served_chain: ServedChain, seal: str
) -> None:
    with served_chain(data=tmp_path / "chain"):
        pass  # the genesis that every round goes on from
    store = tmp_path / "chain" / STORE_NAME
    runtimes = Runtimes(lambda code: Executor(code, compiled))
    chance = random.Random(4)
    promised: set[str] = set()
    for _ in range(ROUNDS):
        reference_store = SqliteStore(store)
        reference = Chain(reference_store, runtimes, lambda: 0)
        reference_store.close()
        victim = Victim(tmp_path, seal)
        try:
            customer = Customer(victim.url(), reference)
            trading = threading.Thread(target=customer.run)
            trading.start()
            customer.wait_for(chance.randrange(1, 40))
            time.sleep(chance.uniform(0, 0.05))
        finally:
            victim.kill()
        trading.join()
        assert customer.error is None
        promised |= set(customer.final)
        opened = SqliteStore(store)
        chain = Chain(opened, runtimes, lambda: 0)
        for block_hash in promised:
            assert chain.block(bytes.fromhex(block_hash[2:])).header.number <= chain.finalised_number
        # The state at the head is that of its header (checked when opened), and the last blocks hold when replayed.
        for number in range(max(1, chain.head.number - 3), chain.head.number + 1):
            block_hash = chain.hash_at(number)
            assert block_hash is not None
            chain.execute_block(block_hash)
        opened.close()

"""How nodes start and end: signals at every stage, nothing left behind, ports in use."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.model, pytest.mark.timeout(180)]

END_TIMEOUT_S = 8.0


def test_a_ready_file_says_all_that_scripts_need(two_providers: Any) -> None:
    first, second = two_providers
    assert first.facts["pid"] == first.pid
    assert first.facts["span"] == [0, 15]
    assert second.facts["span"] == [15, 30]
    assert first.facts["model"] == "smollm2-135m"
    assert first.facts["precision"] == "fp32"
    assert first.facts["model_root"] == second.facts["model_root"]
    assert len(first.facts["model_root"]) == 64
    assert first.facts["peer_id"] != second.facts["peer_id"]
    assert all(address.endswith(f"/p2p/{first.peer_id}") for address in first.facts["addresses"])


@pytest.mark.parametrize(
    ("how", "exit_code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130), (signal.SIGKILL, -9)], ids=["term", "int", "kill"]
)
def test_however_a_provider_ends_it_leaves_no_process(
    start_provider: Any, processes: Any, how: signal.Signals, exit_code: int
) -> None:
    provider = start_provider("0:2")
    below = processes.descendants(provider.pid)
    assert below, "a provider has a libp2p daemon of its own"
    os.kill(provider.pid, how)
    assert provider.node.process.wait(END_TIMEOUT_S) == exit_code
    assert processes.all_gone(below)
    if how is not signal.SIGKILL:
        assert provider.node.ready_file is not None
        assert not provider.node.ready_file.exists()


@pytest.mark.parametrize("after_s", [0.05, 0.3, 0.8, 1.5, 2.5])
@pytest.mark.parametrize(("how", "exit_code"), [(signal.SIGTERM, {0}), (signal.SIGINT, {130})], ids=["term", "int"])
def test_a_signal_while_it_starts_ends_it_cleanly(
    start_provider: Any, processes: Any, after_s: float, how: signal.Signals, exit_code: set[int]
) -> None:
    node = start_provider.spawn("0:30")
    time.sleep(after_s)  # a stage cannot be awaited from outside: this walks through imports, loading and joining
    below = processes.descendants(node.pid)
    node.signal(how)
    code = node.process.wait(END_TIMEOUT_S)
    before_python_is_up = {-how, 143} if after_s < 0.5 else set()
    assert code in exit_code | before_python_is_up, node.log.read_text()
    assert "Traceback" not in node.log.read_text() or before_python_is_up
    assert processes.all_gone(below)


def test_a_second_provider_on_a_port_in_use_says_so(start_provider: Any) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        node = start_provider.spawn("0:2", "--listen", f"/ip4/127.0.0.1/tcp/{port}")
        assert node.process.wait(60) == 9
    assert str(port) in node.last_words()
    assert "--listen" in node.last_words()


def test_a_named_identity_in_use_is_refused(start_provider: Any) -> None:
    provider = start_provider("0:2")
    key = provider.node.command[provider.node.command.index("--identity") + 1]
    node = start_provider.spawn("0:2", "--identity", key)
    assert node.process.wait(60) == 2
    assert "another running node holds the identity" in node.last_words()


def test_a_draining_provider_lets_a_running_answer_finish(start_provider: Any, local_generator: Any) -> None:
    from peerz_node.generation import Sampling, show_nothing, swarm_generator
    from peerz_node.settings import Settings

    provider = start_provider("0:30", "--drain-timeout", "60")
    sampling = Sampling(max_new_tokens=24, greedy=True)
    ids = local_generator.encode("Why is the sky blue?", chat_template=True)
    shown: list[str] = []

    def drain(piece: str) -> None:
        shown.append(piece)
        if len(shown) == 4:
            os.kill(provider.pid, signal.SIGTERM)

    with (
        swarm_generator(Settings(model="smollm2-135m", peer=(provider.address,))) as swarm,
        swarm.model.inference_session(len(ids) + 24) as session,
    ):
        answer = swarm.generate(ids, sampling, drain, session=session)
    assert answer.token_ids == local_generator.generate(ids, sampling, show_nothing).token_ids
    assert provider.node.process.wait(END_TIMEOUT_S) == 0


def test_a_second_sigterm_ends_a_draining_provider_at_once(start_provider: Any, local_generator: Any) -> None:
    from peerz_node.generation import swarm_generator
    from peerz_node.settings import Settings

    provider = start_provider("0:30", "--drain-timeout", "600")
    with (
        swarm_generator(Settings(model="smollm2-135m", peer=(provider.address,))) as swarm,
        swarm.model.inference_session(64),
    ):
        os.kill(provider.pid, signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            provider.node.process.wait(1.0)
        os.kill(provider.pid, signal.SIGTERM)
        assert provider.node.process.wait(END_TIMEOUT_S) == 0


def test_logs_as_json_are_json_and_say_when_it_serves(start_provider: Any) -> None:
    provider = start_provider("0:2", "--log-json")
    os.kill(provider.pid, signal.SIGTERM)
    provider.node.process.wait(END_TIMEOUT_S)
    entries = [json.loads(line) for line in provider.node.log.read_text().splitlines()]
    serving = next(entry for entry in entries if entry["message"] == "serving")
    assert serving["peer_id"] == provider.peer_id


@pytest.mark.parametrize("after_s", [0.4, 1.5, 3.0, 5.0])
def test_ctrl_c_ends_a_generation_at_every_stage(two_providers: Any, processes: Any, after_s: float) -> None:
    arguments = [
        "generate",
        "Tell me a very long story.",
        "--model",
        "smollm2-135m",
        "--peer",
        two_providers[0].address,
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "peerz_node", *arguments, "--max-new-tokens", "2000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        time.sleep(after_s)
        below = processes.descendants(process.pid)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=END_TIMEOUT_S)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert processes.all_gone(below)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["int", "term", "kill"])
def test_the_demo_takes_its_providers_with_it(demo_model: Any, processes: Any, how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "peerz_node", "run", "--max-new-tokens", "2000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert any(line.startswith("provider") for line in process.stdout)
        below = processes.descendants(process.pid)
        assert len(below) >= 4, "two nodes, each with a libp2p daemon"
        process.send_signal(how)
        process.communicate(timeout=END_TIMEOUT_S)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[how]
    assert processes.all_gone(below)

"""A private swarm: providers that serve only peers on their lists, clients with and without an identity of theirs."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.model, pytest.mark.timeout(240)]

MODEL = ("--model", "smollm2-135m")


@dataclass(frozen=True, slots=True)
class PrivateSwarm:
    """Two providers, one told by an option and one by its file to serve the owner of `key` only."""

    address: str
    key: Path
    peer_id: str


@pytest.fixture(scope="module")
def private(start_shared_provider: Any, tmp_path_factory: pytest.TempPathFactory, peerz: Any) -> PrivateSwarm:
    directory = tmp_path_factory.mktemp("private")
    key = directory / "friend.key"
    peer_id = peerz("identity", "--identity", str(key)).stdout.strip()
    (directory / "node.toml").write_text(f'allow = ["{peer_id}"]\n')
    first = start_shared_provider("0:15", "--identity", str(directory / "node.key"), "--allow", peer_id)
    start_shared_provider("15:30", "--config", str(directory / "node.toml"), peer=first.address)
    return PrivateSwarm(first.address, key, peer_id)


def test_a_stranger_is_refused_and_told_what_to_do(private: PrivateSwarm, peerz: Any) -> None:
    done = peerz("generate", "hi", *MODEL, "--peer", private.address)
    assert done.exit_code == 7
    assert re.search(r"private: ask its owner to --allow 12D3Koo\w+", done.stderr), done.stderr
    assert private.peer_id not in done.stderr
    assert "--identity" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_stranger_cannot_chat_either(private: PrivateSwarm, peerz: Any) -> None:
    done = peerz("chat", *MODEL, "--peer", private.address, stdin="hi\nagain\n")
    assert done.exit_code == 7, done.stderr
    assert done.stderr.count("private") == 1


@pytest.mark.parametrize("codec", ["raw", "block8"])
def test_a_friend_is_let_in(private: PrivateSwarm, peerz: Any, codec: str) -> None:
    arguments = ("--identity", str(private.key), "--codec", codec, "--greedy", "--max-new-tokens", "8", "--json")
    done = peerz("generate", "What is the capital of France?", *MODEL, "--peer", private.address, *arguments)
    assert done.exit_code == 0, done.stderr
    assert "Paris" in done.json["text"]
    assert len(done.json["route"]) == 2


def test_everybody_may_look(private: PrivateSwarm, peerz: Any) -> None:
    (model,) = peerz("status", "--peer", private.address, "--json").json["models"]
    assert model["covered"] is True
    assert all(provider["rtt_ms"] > 0 for provider in model["providers"])


def test_an_identity_is_private_and_stays_the_same(private: PrivateSwarm, peerz: Any, tmp_path: Path) -> None:
    path = tmp_path / "new.key"
    done = peerz("generate", "hi", *MODEL, "--peer", private.address, "--identity", str(path))
    assert done.exit_code == 7
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    asked_for = re.search(r"--allow (\w+)", done.stderr)
    assert asked_for is not None, done.stderr
    assert peerz("identity", "--identity", str(path)).stdout.strip() == asked_for[1]


def test_a_command_cannot_take_a_running_providers_identity(private: PrivateSwarm, peerz: Any) -> None:
    own = private.key.parent / "node.key"
    done = peerz("status", "--peer", private.address, "--identity", str(own))
    assert done.exit_code == 2
    assert "another running node holds the identity" in done.stderr

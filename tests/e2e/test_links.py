"""A network link to a provider fails in the middle of a sentence, with both machines alive: the same tokens go on.

The provider in use for blocks 15:30 runs in a network namespace of its own, behind a pair of veth interfaces. Its link
is cut (nothing passes, nobody is told), or dies one way: it goes on hearing us, and nothing that it says arrives. Needs
Linux and root.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from peerz_node.generation import Sampling, route_of, show_nothing, swarm_generator
from peerz_node.settings import Settings

logger = logging.getLogger(__name__)

pytestmark = [pytest.mark.e2e, pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(300)]

GAP_MAX_S = 2.0
N_TOKENS = 48
REPLICA_AFTER = 8
HIT_AFTER = 16
NEWS_TIMEOUT_S = 30.0
IP_TIMEOUT_S = 10.0


def ip(*arguments: str) -> str:
    """What `ip` says. Raises CalledProcessError."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True, timeout=IP_TIMEOUT_S)
    return done.stdout


@dataclass(frozen=True, slots=True)
class Link:
    """A network namespace and the one link to it: `near` is our address and `far` that of the namespace."""

    namespace: str
    near_device: str
    far_device: str
    near: str
    far: str

    @classmethod
    def of_this_process(cls) -> Link:
        """Names and a /30 of 10.203.0.0/16 that follow from the process id, so that runs do not meet."""
        pid = os.getpid()
        third, quarter = divmod(pid % (256 * 64), 64)
        near, far = (f"10.203.{third}.{4 * quarter + host}" for host in (1, 2))
        return cls(f"peerz-{pid}", f"pz{pid}a", f"pz{pid}b", near, far)

    def up(self) -> None:
        ip("link", "add", self.near_device, "type", "veth", "peer", "name", self.far_device, "netns", self.namespace)
        ip("address", "add", f"{self.near}/30", "dev", self.near_device)
        ip("link", "set", self.near_device, "up")
        ip("-n", self.namespace, "address", "add", f"{self.far}/30", "dev", self.far_device)
        ip("-n", self.namespace, "link", "set", "lo", "up")
        ip("-n", self.namespace, "link", "set", self.far_device, "up")
        # Else packets from an address without a route back, as in `mute`, are dropped before they are heard.
        for scope in ("all", self.far_device):
            setting = f"/proc/sys/net/ipv4/conf/{scope}/rp_filter"
            ip("netns", "exec", self.namespace, "sh", "-c", f"echo 0 > {setting}")

    def remove(self) -> None:
        """Both interfaces and the namespace, as far as they are there."""
        for arguments in (("link", "delete", self.near_device), ("netns", "delete", self.namespace)):
            subprocess.run(["ip", *arguments], capture_output=True, check=False, timeout=IP_TIMEOUT_S)

    def cut(self) -> None:
        """Pulls the cable at the far end. (At the near end our own address would go too.)"""
        ip("-n", self.namespace, "link", "set", self.far_device, "down")

    def mute(self) -> None:
        """From now on the far end hears us, and we do not hear it."""
        ip("-n", self.namespace, "route", "add", "blackhole", f"{self.near}/32")

    def python_inside(self, directory: Path) -> Path:
        """A program that is this Python, but in the namespace; with `exec`, so that process ids stay what they are."""
        script = directory / "python-inside"
        script.write_text(f'#!/bin/sh\nexec ip netns exec {self.namespace} "{sys.executable}" "$@"\n')
        script.chmod(0o755)
        return script


def segments_heard(pid: int) -> int:
    """TCP segments that the network namespace of a process has received."""
    names, values = [
        line.split() for line in Path(f"/proc/{pid}/net/snmp").read_text().splitlines() if line.startswith("Tcp:")
    ]
    return int(values[names.index("InSegs")])


@pytest.fixture
def link() -> Iterator[Link]:
    if not sys.platform.startswith("linux"):
        pytest.skip("network namespaces are Linux's")
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    if shutil.which("ip") is None:
        pytest.skip("there is no `ip` here (package iproute2)")
    link = Link.of_this_process()
    try:
        try:
            ip("netns", "add", link.namespace)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"root may not make network namespaces here: {error.stderr.strip()}")
        link.up()
        yield link
    finally:
        link.remove()


@pytest.mark.parametrize(("fault", "hears_us"), [(Link.cut, False), (Link.mute, True)], ids=["cut", "dead-one-way"])
def test_a_link_that_fails_mid_sentence_changes_no_token(
    link: Link,
    start_provider: Any,  # after `link`: providers end before their namespace does
    local_generator: Any,
    processes: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[Link], None],
    hears_us: bool,
) -> None:
    near = ("--listen", f"/ip4/{link.near}/tcp/0")
    first = start_provider("0:15", *near)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(link.python_inside(tmp_path)))
        remote = start_provider("15:30", "--listen", f"/ip4/{link.far}/tcp/0", peer=first.address)
    sampling = Sampling(max_new_tokens=N_TOKENS, greedy=True)
    ids = local_generator.encode("Describe a storm at sea.", chat_template=True)
    expected = local_generator.generate(ids, sampling, show_nothing).token_ids
    shown_s: list[float] = []
    heard_at_fault: list[int] = []
    replicas: list[Any] = []

    with (
        swarm_generator(Settings(model="smollm2-135m", peer=(first.address,))) as swarm,
        swarm.model.inference_session(len(ids) + N_TOKENS) as session,
    ):

        def replica_is_known() -> bool:
            status = swarm.model._peerz_source.status()
            return replicas[0].peer_id in {str(record.peer_id) for record in status.records}

        def follow(piece: str) -> None:
            if len(shown_s) + 1 == REPLICA_AFTER:  # only now, so that the route has to lead over the link
                replicas.append(start_provider("15:30", *near, peer=first.address))
                assert processes.wait_until(replica_is_known, NEWS_TIMEOUT_S)
            elif len(shown_s) + 1 == HIT_AFTER:
                assert [hop["peer_id"] for hop in route_of(session)] == [first.peer_id, remote.peer_id]
                logger.info("the link fails now")
                fault(link)
                heard_at_fault.append(segments_heard(remote.pid))
            shown_s.append(time.monotonic())

        answer = swarm.generate(ids, sampling, follow, session=session)
        route = route_of(session)
        heard = segments_heard(remote.pid) - heard_at_fault[0]

    gaps_s = [after - before for before, after in pairwise(shown_s[HIT_AFTER - 1 :])]
    worst = gaps_s.index(max(gaps_s))
    logger.info("gap of %.3f s, number %d after the fault; %d segments heard", gaps_s[worst], worst, heard)
    assert answer.token_ids == expected
    assert [hop["peer_id"] for hop in route] == [first.peer_id, replicas[0].peer_id]
    assert processes.is_alive(remote.pid)
    assert (heard > 0) == hears_us
    assert gaps_s[worst] <= GAP_MAX_S

"""Supervised processes, with programs that need no model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from peerz_node.children import NodeProcess
from peerz_node.errors import ChildFailed

ROOT = Path(__file__).parents[2]


def test_a_child_that_fails_at_start_is_reported_with_its_last_words(tmp_path: Path) -> None:
    node = NodeProcess(["--compute"], log=tmp_path / "log", ready_file=tmp_path / "ready")
    try:
        with pytest.raises(ChildFailed, match=r"exit code 2 at start: peerz-node: no model was named"):
            node.wait_ready(30)
    finally:
        node.close()


def test_a_child_that_hangs_is_reported_and_ends_all_the_same(tmp_path: Path) -> None:
    node = NodeProcess(["--help"], log=tmp_path / "log", ready_file=tmp_path / "ready")
    node.signal(signal.SIGSTOP)
    with pytest.raises(ChildFailed, match="did not serve within 0 s"):
        node.wait_ready(0.2)
    node.close(patience_s=0.1)
    assert node.process.returncode == -signal.SIGKILL


def test_what_wrote_nothing_has_no_last_words(tmp_path: Path) -> None:
    node = NodeProcess(["model", "--help"], log=tmp_path / "log")
    node.close()
    (tmp_path / "log").write_text("\n \n")
    assert node.last_words() == "it wrote nothing"
    with pytest.raises(ValueError, match="without a ready file"):
        node.wait_ready(1)


def test_a_child_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib, peerz_node.children as c\n"
        "sys.executable = '/bin/sleep'\n"
        "c.subprocess.Popen, popen = (lambda command, **k: popen(['/bin/sleep', '60'], **k)), c.subprocess.Popen\n"
        f"node = c.NodeProcess([], log=pathlib.Path({str(tmp_path / 'log')!r}))\n"
        "print(node.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.send_signal(signal.SIGKILL)
        parent.wait(10)
    deadline_s = time.monotonic() + 5
    while _alive(child):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False

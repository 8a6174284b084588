from __future__ import annotations

import pytest

from peerz_node.console import progress_display, spinner


def test_off_a_terminal_each_stage_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_display() as progress, spinner("connecting"):
        progress("downloading", 0, 10)
        progress("downloading", 10, 10)
        progress("converting", 0, 0)
    assert capsys.readouterr().err == "downloading ...\nconverting ...\n"


def test_disabled_it_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_display(enabled=False) as progress, spinner("connecting", enabled=False):
        progress("downloading", 0, 10)
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_there_are_bars_that_vanish(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with progress_display() as progress:
        progress("downloading", 0, 0)
        progress("downloading", 5, 10)
    said = capsys.readouterr().err
    assert "downloading" in said

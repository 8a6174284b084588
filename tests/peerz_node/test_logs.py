from __future__ import annotations

import json
import logging
import sys

import pytest

from peerz_node.logs import JsonLines, set_up_logging


def test_a_record_becomes_one_json_line_with_its_extras(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(json_lines=True, debug=False)
    logging.getLogger("peerz_node.x").info("serving %s", "0:15", extra={"pid": 3, "path": sys})
    entry = json.loads(capsys.readouterr().err)
    assert entry["message"] == "serving 0:15"
    assert (entry["level"], entry["logger"], entry["pid"]) == ("info", "peerz_node.x", 3)
    assert entry["time"].endswith("Z")


def test_an_exception_is_part_of_its_line() -> None:
    try:
        raise ValueError("odd\nvalue")
    except ValueError:
        record = logging.LogRecord("n", logging.ERROR, "f", 1, "failed", None, sys.exc_info())
    line = JsonLines().format(record)
    assert "\n" not in line
    assert "odd" in json.loads(line)["exception"]


def test_people_see_warnings_but_no_chatter(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(json_lines=False, debug=False)
    logging.getLogger("compute.x").info("chatter")
    logging.getLogger("compute.x").warning("look here")
    assert capsys.readouterr().err.rstrip().endswith("look here")

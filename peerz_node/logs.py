"""Logs: for people on a terminal, JSON lines on request. Always on stderr: stdout is for results."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback

_STANDARD = frozenset(vars(logging.makeLogRecord({})))


class JsonLines(logging.Formatter):
    """One JSON object per record: time (UTC), level, logger, message, what was given as `extra`, and the exception."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry: dict[str, object] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry.update((key, value) for key, value in vars(record).items() if key not in _STANDARD and key != "message")
        if record.exc_info:
            entry["exception"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(entry, default=str)


def set_up_logging(*, json_lines: bool, debug: bool) -> None:
    """Our loggers at INFO (DEBUG with `debug`), everyone else's at WARNING, to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    if json_lines:
        handler.setFormatter(JsonLines())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("compute", "peerz_node"):
        logging.getLogger(name).setLevel(logging.DEBUG if debug else logging.INFO if json_lines else logging.WARNING)


def adopt_library_logs() -> None:
    """Sends hivemind's log, and its daemon's, the way of all others. Call once it is imported: it brings a handler."""
    logger = logging.getLogger("hivemind")
    logger.handlers.clear()
    logger.propagate = True

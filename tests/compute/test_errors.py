from __future__ import annotations

import inspect

import compute.errors as errors
from compute.errors import ComputeError, ErrorCode
from compute.wire import peerz_pb2


def _classes() -> list[type[ComputeError]]:
    return [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, ComputeError)]


def test_every_error_stands_in_the_drawing_at_the_top_of_the_file() -> None:
    drawing = errors.__doc__ or ""
    missing = [c.__name__ for c in _classes() if c.__name__ not in drawing]
    assert missing == []


def test_every_error_has_an_exit_code_that_is_no_success_and_no_signal() -> None:
    assert all(0 < c.exit_code < 64 for c in _classes())


def test_codes_have_the_numbers_of_the_wire() -> None:
    assert {code.name: code.value for code in ErrorCode} == {
        name: number for name, number in peerz_pb2.Code.items() if number
    }

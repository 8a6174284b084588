"""Loads torch, transformers and hivemind without what serving and chatting never use.

Whatever transformers is asked for, it imports all that its training and its GPU code may need: torch's compiler,
`torch.distributed.tensor`, sympy (for flex attention), scipy (for losses of object detection), accelerate. hivemind
imports its optimisers, and scipy again. Together half of the time of importing and 200 MiB of memory.

While the libraries load, transformers is told that those parts are not installed, `torch._dynamo` is a stand-in whose
decorators return functions as they are, and `hivemind` is a package whose own code waits until somebody asks for a name
of it. Afterwards everything is as it was: what is imported later finds torch's real compiler, the real answers of
transformers, and all of hivemind. What was loaded meanwhile does without them for good: no `device_map`, no flex
attention, no tensor parallelism, no training. No command uses these.

For our own programs only, which know what they call: who imports `compute` into another program gets the libraries as
they are. `PEERZ_LEAN_IMPORTS=0` gives that to our programs too.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

from peerz_node.errors import EXIT_INTERRUPTED, EXIT_TERMINATED

logger = logging.getLogger(__name__)

ENDS_OF_A_PROVIDER: Mapping[int, int] = {signal.SIGINT: EXIT_INTERRUPTED, signal.SIGTERM: 0}
ENDS: Mapping[int, int] = {signal.SIGINT: EXIT_INTERRUPTED, signal.SIGTERM: EXIT_TERMINATED}
"""Of all other commands."""
_SHOW_CURSOR = b"\x1b[?25h"  # a bar may have hidden it

VARIABLE = "PEERZ_LEAN_IMPORTS"
UNUSED_PARTS = (
    "is_torch_distributed_available",
    "is_torch_flex_attn_available",
    "is_scipy_available",
    "is_accelerate_available",
)
"""Questions of transformers that are answered with no."""

_COMPILER = "torch._dynamo"
_DECORATORS = frozenset({"allow_in_graph", "assume_constant_result", "disable", "disallow_in_graph", "forbid_in_graph"})
"""What libraries put on functions for the compiler's sake; the uncompiled function is the same with and without."""
_RELOADABLE = frozenset({"accelerate", "compute", "hivemind", "peerz_node", "scipy", "transformers"})
"""Packages that may be loaded a second time. torch is none: its operators are registered once per process."""


def load(*names: str, ends: Mapping[int, int] | None = None) -> None:
    """Imports modules and what they need, leanly where that works, and in the ordinary way otherwise.

    Args:
        ends: signals that end the process at once meanwhile, with their exit codes. For whoever has begun nothing yet
            that would have to be ended well.

    Raises what an ordinary import of them raises.
    """
    with _without_collector(), _ended_by_signals(ends or {}):
        if os.environ.get(VARIABLE) != "0":
            before = frozenset(sys.modules)
            try:
                with lean():
                    _import(names)
                return
            except Exception as error:  # other versions of the libraries: anything may happen in them
                logger.debug("a lean import failed, importing the ordinary way: %r", error)
                _forget_all_since(before)
        _import(names)


@contextmanager
def lean() -> Iterator[None]:
    """Imports within the context are lean ones. Of a library that was loaded before, nothing is changed."""
    with ExitStack() as undo:
        if _COMPILER not in sys.modules:
            undo.enter_context(_stand_in_compiler())
        if "hivemind" not in sys.modules:
            undo.enter_context(_lazy_package("hivemind"))
        if "transformers.modeling_utils" not in sys.modules:
            undo.enter_context(_answering_no())
        yield


@contextmanager
def _ended_by_signals(exit_codes: Mapping[int, int]) -> Iterator[None]:
    """Signals end the process, whatever runs: while libraries load, Python runs code in which what a handler
    raises is lost (callbacks of the importer and the collector, somebody's bare `except`)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end_at_once(number: int, _: object) -> None:
        if sys.stderr.isatty():
            os.write(sys.stderr.fileno(), _SHOW_CURSOR)
        os._exit(exit_codes[number])

    before = {number: signal.signal(number, end_at_once) for number in exit_codes}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _import(names: tuple[str, ...]) -> None:
    for name in names:
        importlib.import_module(name)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Keeps the garbage collector away: libraries make millions of objects that stay, and it would look at them again
    and again (0.7 of 8.6 s here)."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _answering_no() -> Iterator[None]:
    import transformers.utils
    from transformers.utils import import_utils

    places = (transformers.utils, import_utils)
    real = {name: getattr(import_utils, name) for name in UNUSED_PARTS}  # AttributeError: a version that we do not know
    try:
        for name in UNUSED_PARTS:
            for place in places:
                setattr(place, name, _no)
        yield
    finally:
        for name, answer in real.items():
            for place in places:
                setattr(place, name, answer)


def _no(*_: object, **__: object) -> bool:
    return False


@contextmanager
def _stand_in_compiler() -> Iterator[None]:
    import torch

    if _COMPILER in sys.modules:  # this torch needs it to load
        yield
        return
    spec = find_spec(_COMPILER)
    if spec is None:
        raise ImportError(f"there is no {_COMPILER}", name=_COMPILER)
    stand_in: Any = _StandIn(_COMPILER)
    stand_in.__path__ = list(spec.submodule_search_locations or ())  # parts of it that stand alone are the real ones
    stand_in.__spec__ = spec
    torch._dynamo = stand_in
    sys.modules[_COMPILER] = stand_in
    try:
        yield
    finally:
        # torch imports the real one when it is asked for it.
        if sys.modules.get(_COMPILER) is stand_in:
            del sys.modules[_COMPILER]
        if vars(torch).get("_dynamo") is stand_in:
            del torch._dynamo


class _StandIn(ModuleType):
    """A module of decorators that change nothing."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name in _DECORATORS:
            return _unchanged
        raise AttributeError(f"the stand-in for {self.__name__} has no {name!r}", name=name)


def _unchanged(function: Callable[..., Any] | None = None, /, *_: object, **__: object) -> Callable[..., Any]:
    """`decorate(f)`, and `decorate(option=...)(f)`, as f."""
    return _unchanged if function is None else function


@contextmanager
def _lazy_package(name: str) -> Iterator[None]:
    """A package whose `__init__` runs when a name of it is asked for that is no loaded submodule. It stays."""
    spec = find_spec(name)
    if spec is None or spec.loader is None:
        raise ImportError(f"there is no {name}", name=name)
    package: Any = module_from_spec(spec)
    loader = spec.loader

    def load_rest(attribute: str) -> Any:
        if attribute.startswith("__") and attribute != "__version__":
            raise AttributeError(f"module {name!r} has no attribute {attribute!r}", name=attribute)
        if (loading := sys.modules.get(f"{name}.{attribute}")) is not None:  # asked for by a part of itself
            return loading
        del package.__getattr__
        loader.exec_module(package)
        return getattr(package, attribute)

    package.__getattr__ = load_rest
    sys.modules[name] = package
    yield


def _forget_all_since(before: frozenset[str]) -> None:
    """Takes modules out of Python's table that may be half loaded, or loaded without something."""
    for name in sys.modules.keys() - before:
        top = name.partition(".")[0]
        if top in _RELOADABLE and name != __name__:
            del sys.modules[name]

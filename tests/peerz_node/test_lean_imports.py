"""Lean imports change what is loaded, never what is computed; and what they left out can still be used afterwards.

Imports are a matter of a whole process, so most tests start one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from peerz_node import lean_imports

ROOT = Path(__file__).parents[2]
LEFT_OUT = {
    "torch._dynamo",
    "torch._inductor",
    "torch.distributed.tensor",
    "sympy",
    "scipy",
    "accelerate",
    "hivemind.optim",
}


def run(*arguments: str, lean: bool = True) -> str:
    """What a Python process with `arguments` writes to stdout; its stderr is shown when it fails."""
    environment = {**os.environ, lean_imports.VARIABLE: "1" if lean else "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


SAVE = """
import sys
from pathlib import Path
sys.path.insert(0, "tests/compute")
from tiny_models import VARIANTS, tiny_model
for variant in VARIANTS:
    tiny_model(variant).save_pretrained(Path(sys.argv[1]) / variant)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, dict[str, Any]]:
    """What `lean_answers.py` found with lean imports (True) and with ordinary ones (False), on all families."""
    models = tmp_path_factory.mktemp("models")
    run("-c", SAVE, str(models))
    script = str(Path(__file__).with_name("lean_answers.py"))
    return {lean: json.loads(run(script, str(models), lean=lean)) for lean in (True, False)}


@pytest.mark.slow
@pytest.mark.timeout(600)
class TestAnswers:
    def test_neither_provider_nor_client_loads_what_they_do_not_use(self, answers: dict[bool, dict[str, Any]]) -> None:
        assert answers[True]["by provider"] == []
        assert answers[True]["by both"] == []
        assert set(answers[False]["by provider"]) == LEFT_OUT  # else the lists above would mean nothing

    def test_a_provider_loads_no_client(self, answers: dict[bool, dict[str, Any]]) -> None:
        assert answers[True]["client in provider"] == []

    @pytest.mark.parametrize("what", ["blocks", "outer", "generated"])
    def test_every_family_computes_the_same_bits(self, answers: dict[bool, dict[str, Any]], what: str) -> None:
        assert len(answers[True][what]) >= 15
        assert answers[True][what] == answers[False][what]


AFTERWARDS = """
import os, sys
from peerz_node import lean_imports
lean_imports.load("peerz_node.provider_factory", "compute.client.model")
assert not {"torch._dynamo", "sympy", "scipy", "accelerate", "hivemind.optim"} & sys.modules.keys()
import torch
from transformers import utils
from transformers.utils import import_utils

for name in lean_imports.UNUSED_PARTS:
    assert getattr(utils, name) is getattr(import_utils, name) is not lean_imports._no
    assert getattr(utils, name)(), name

import torch._dynamo
assert torch._dynamo.config.cache_size_limit > 0
assert torch._dynamo.disable is not lean_imports._unchanged
seen = []
def backend(graph, inputs):
    seen.append(graph)
    return graph.forward
compiled = torch.compile(lambda x: (x + 1).sin(), backend=backend)
x = torch.randn(5)
assert torch.equal(compiled(x), (x + 1).sin())
assert len(seen) == 1

from torch._dynamo._trace_wrapped_higher_order_op import TransformGetItemToIndex
from transformers import masking_utils
assert masking_utils.TransformGetItemToIndex is TransformGetItemToIndex

from torch.nn.attention.flex_attention import flex_attention
q = torch.randn(1, 1, 16, 16)
assert flex_attention(q, q, q).shape == q.shape

import torch.distributed as dist
from torch.distributed.tensor import DTensor, Replicate
dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
mesh = dist.device_mesh.init_device_mesh("cpu", (1,))
assert torch.equal(DTensor.from_local(x, mesh, [Replicate()]).full_tensor(), x)
dist.destroy_process_group()

import hivemind
p2p = sys.modules["hivemind.p2p"]
assert hivemind.p2p is p2p
assert issubclass(hivemind.DHT, object) and hivemind.__version__
from hivemind import Optimizer, moe
assert hivemind.dht.DHT is hivemind.DHT is sys.modules["hivemind.dht"].DHT
import accelerate, scipy.optimize
import transformers
assert transformers.Trainer
"""


@pytest.mark.slow
def test_what_was_left_out_works_when_it_is_imported_later() -> None:
    run("-c", AFTERWARDS)


FAILING = """
import logging, sys
from peerz_node import lean_imports

records = []
class Keep(logging.Handler):
    def emit(self, record):
        records.append(record.getMessage())
lean_imports.logger.addHandler(Keep())
lean_imports.logger.setLevel(logging.DEBUG)

class FailsOnce:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            sys.meta_path.remove(self)
            raise RuntimeError("of another version")
sys.meta_path.insert(0, FailsOnce())
lean_imports.load("peerz_node.provider_factory", "compute.client.model")

assert len(records) == 1 and "the ordinary way" in records[0], records
import hivemind, torch, transformers.generation.utils
assert transformers.generation.utils.is_accelerate_available()
assert {"accelerate", "scipy", "torch.distributed.tensor"} <= sys.modules.keys()
assert sys.modules["hivemind.optim"].Optimizer is hivemind.Optimizer
assert torch._dynamo.disable is not lean_imports._unchanged

sys.path.insert(0, "tests/compute")
from tiny_models import tiny_model
ids = torch.arange(3, 9)[None]
assert tiny_model("llama").generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=3).shape == (1, 9)
from compute.client.model import AutoDistributedModelForCausalLM
from peerz_node.provider_factory import build_provider
"""


@pytest.mark.slow
@pytest.mark.parametrize("module", ["transformers.modeling_utils", "compute.client.model"], ids=["early", "late"])
def test_a_lean_import_that_fails_becomes_an_ordinary_one(module: str) -> None:
    run("-c", FAILING, module)


UNKNOWN = """
import sys
from transformers.utils import import_utils
del import_utils.is_scipy_available  # a version of transformers that has no such question
from peerz_node import lean_imports
try:
    with lean_imports.lean():
        raise SystemExit("it entered")
except AttributeError:
    pass
import torch
assert "torch._dynamo" not in sys.modules and "_dynamo" not in vars(torch)
"""

INTERRUPTED = """
import sys
from peerz_node import lean_imports

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == "transformers.modeling_utils":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupts())
try:
    lean_imports.load("compute.models.loading")
except KeyboardInterrupt:
    pass
else:
    raise SystemExit("nothing came through")
import gc, torch, transformers.utils
assert gc.isenabled()
assert "torch._dynamo" not in sys.modules and "_dynamo" not in vars(torch)
assert transformers.utils.is_accelerate_available()
"""


@pytest.mark.slow
@pytest.mark.parametrize("script", [UNKNOWN, INTERRUPTED], ids=["unknown version", "Ctrl-C"])
def test_everything_is_put_back_after_an_error(script: str) -> None:
    run("-c", script)


class TestParts:
    def test_a_module_that_does_not_exist_is_an_import_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(lean_imports.VARIABLE, "0")  # this process is to stay as it is
        with pytest.raises(ModuleNotFoundError, match="no_such_module"):
            lean_imports.load("peerz_node.no_such_module")

    def test_the_stand_in_decorates_with_and_without_options(self) -> None:
        stand_in: Any = lean_imports._StandIn("anything")

        @stand_in.disable
        def plain() -> int:
            return 1

        @stand_in.disable(recursive=False)
        def with_options() -> int:
            return 2

        assert (plain(), with_options()) == (1, 2)
        assert stand_in.disable(plain, recursive=False) is plain

    def test_the_stand_in_pretends_nothing_else(self) -> None:
        stand_in = lean_imports._StandIn("anything")
        for name in ("config", "optimize", "__file__"):
            with pytest.raises(AttributeError, match=name):
                getattr(stand_in, name)

    @pytest.fixture
    def package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        """The name of a package on the path that notes when its own code runs."""
        name = "lazy_package_of_a_test"
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text("import sys\nsys.ran = getattr(sys, 'ran', 0) + 1\nvalue = 42\n")
        (folder / "part.py").write_text(f"import {name}.other as other\nvalue = other.value\n")
        (folder / "other.py").write_text("value = 7\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setattr(sys, "ran", 0, raising=False)
        for module in (name, f"{name}.part", f"{name}.other"):
            monkeypatch.setitem(sys.modules, module, None)  # what the test loads goes again
            del sys.modules[module]
        return name

    def test_a_lazy_package_runs_its_code_once_and_only_when_it_is_asked(self, package: str) -> None:
        import importlib

        with lean_imports._lazy_package(package):
            part = importlib.import_module(f"{package}.part")
        lazy = importlib.import_module(package)
        assert (part.value, lazy.part, lazy.other.value) == (7, part, 7)
        assert not hasattr(lazy, "__wrapped__")
        assert sys.ran == 0  # type: ignore[attr-defined]
        assert lazy.value == 42
        assert not hasattr(lazy, "nothing")
        assert sys.ran == 1  # type: ignore[attr-defined]
        assert importlib.import_module(package) is lazy
        assert lazy.part is part


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_ends_a_load_in_which_python_would_lose_it(
    tmp_path: Path, number: signal.Signals, exit_code: int
) -> None:
    """Exceptions in a callback of a weak reference are printed and dropped; the process must end all the same."""
    (tmp_path / "slow_part.py").write_text(
        textwrap.dedent(f"""
            import os, weakref

            class Thing: pass

            thing = Thing()
            reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), {int(number)}))
            del thing
            print("went on")
        """)
    )
    program = (
        "from peerz_node import lean_imports; lean_imports.load('slow_part', ends=lean_imports.ENDS_OF_A_PROVIDER)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (exit_code, "")

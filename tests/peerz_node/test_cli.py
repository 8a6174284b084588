"""The command line in this process: what a shell would see, without network or model."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click.testing
import pytest

import compute.errors
import peerz_node.errors
from compute.errors import (
    AddressInUse,
    BadReceipt,
    CacheFull,
    ComputeError,
    NoRoute,
    SelfTestFailed,
    Unauthorised,
    UnknownModel,
)
from compute.identity import public_key_of
from compute.models.sources import ModelFiles
from compute.types import Codec, PeerId, Span
from peerz_node.cli import cli
from peerz_node.errors import ChildFailed, TokensDiffer
from peerz_node.generation import Answer
from peerz_node.invocation import Failure, Interrupts, failure_of
from peerz_node.settings import Settings

A = "/ip4/192.0.2.1/tcp/1/p2p/12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"
B = A.replace("192.0.2.1", "192.0.2.2")
ROOT = Path(__file__).parents[2]
COMMANDS = ["chat", "generate", "status", "identity", "model", "run", "chain", "bench"]


def said(result: click.testing.Result) -> str:
    """What was said on stderr, as one line: usage errors are wrapped."""
    return " ".join(result.stderr.split())


def test_without_anything_it_shows_its_help(peerz: Any) -> None:
    result = peerz()
    assert result.exit_code == 0
    assert "peerz-node --compute --model smollm2-135m" in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_that_says_what_it_does(peerz: Any, command: str) -> None:
    result = peerz(command, "--help")
    assert result.exit_code == 0
    assert len(result.stdout.split("\n")[2].strip()) > 20


def test_every_option_has_a_help_text() -> None:
    silent = [
        (name, option.opts)
        for name, command in [("", cli), *cli.commands.items()]
        for option in command.params
        if isinstance(option, click.Option) and not option.help and name != "run"
    ]
    assert silent == []


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, peerz_node.cli as c\n"
        "try: c.cli(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'hivemind', 'pydantic', 'numpy', 'rich.console'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stderr == ""
    assert done.returncode == 0


def test_libraries_draw_no_bars_of_their_own() -> None:
    code = (
        "from peerz_node.runtime import quiet_libraries\n"
        "quiet_libraries()\n"
        "from tqdm.auto import tqdm\n"
        "list(tqdm(range(3)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "m"], "nothing to do: add --compute"),
        (["--blocks", "0:5", "chat"], "--blocks serves blocks and takes no command"),
        (["--compute", "status"], "--compute serves blocks and takes no command"),
        (["--ready-file", "f", "status"], "--ready-file serves blocks"),
        (["--compute", "--model", "m", "--blocks", "5:5"], "span 5:5 is empty"),
        (["--compute", "--model", "m", "--blocks", "7:5"], "span 7:5 is empty"),
        (["--compute", "--model", "m", "--blocks", "all"], "START:END"),
        (["--compute", "--model", "m", "--cache-bytes", "lots"], "2GiB"),
        (["--compute", "--model", "m", "--precision", "fp7"], "'fp7' is not one of"),
        (["--compute", "--model", "m", "--threads", "0"], "'--threads'"),
        (["generate"], "Missing argument 'PROMPT'"),
        (["generate", "x", "--top-p", "0"], "'--top-p'"),
        (["generate", "x", "--max-new-tokens", "0"], "'--max-new-tokens'"),
        (["generate", "x", "--codec", "zip"], "'zip' is not one of 'raw', 'block8'"),
        (["--allow", "x", "chat"], "--allow serves blocks and takes no command"),
        (["generat"], "No such command 'generat'"),
        (["model", "import", "/none.gguf"], "does not exist"),
    ],
)
def test_wrong_use_ends_with_two_and_says_what(peerz: Any, arguments: list[str], sentence: str) -> None:
    result = peerz(*arguments)
    assert result.exit_code == 2
    assert sentence in said(result)
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--compute"], "no model was named; add --model"),
        (["generate", "x"], "no model was named; add --model"),
        (["chat"], "no model was named; add --model"),
        (["--config", "/none.toml", "model", "list"], "there is no configuration file /none.toml"),
        (["--compute", "--model", "m", "--ready-file", "/none/ready"], "no directory /none"),
        (["status"], "no peer was given; add --peer"),
        (["--compute", "--model", "m", "--allow", "me"], "--allow cannot be used: 'me' is no peer id"),
        (
            ["--compute", "--model", "m", "--listen", "/dns/a/tcp/1"],
            "--listen cannot be used: '/dns/a/tcp/1' is a name",
        ),
        (["status", "--peer", "localhost:4711"], "--peer cannot be used: 'localhost:4711' is no address of libp2p"),
    ],
)
def test_what_is_missing_is_named_in_one_line(peerz: Any, arguments: list[str], sentence: str) -> None:
    result = peerz(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("peerz-node: ")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.fixture
def settings_of_generate(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, str, dict[str, Any]]]:
    seen: list[tuple[Settings, str, dict[str, Any]]] = []
    monkeypatch.setattr(
        "peerz_node.generation.generate_once", lambda settings, prompt, **more: seen.append((settings, prompt, more))
    )
    return seen


def test_options_reach_the_command(peerz: Any, settings_of_generate: list[Any]) -> None:
    arguments = ["--peer", A, "--peer", B, "--greedy", "--seed", "7", "--temperature", "0.5", "--top-p", "0.8"]
    arguments += ["--codec", "block8", "--identity", "me.key"]
    result = peerz(
        "generate", "hi", "--model", "m", *arguments, "--max-new-tokens", "9", "--no-chat-template", "--json"
    )
    assert result.exit_code == 0, result.output
    settings, prompt, more = settings_of_generate[0]
    assert (settings.model, settings.peer, settings.greedy, settings.seed) == ("m", (A, B), True, 7)
    assert (settings.temperature, settings.top_p, settings.max_new_tokens) == (0.5, 0.8, 9)
    assert settings.no_chat_template
    assert (settings.codec, settings.identity) == (Codec.BLOCK8, Path("me.key"))
    assert prompt == "hi"
    assert more == {"as_json": True, "local": False}


def test_an_identity_prints_its_peer_id_alone(peerz: Any, tmp_path: Path) -> None:
    path = tmp_path / "keys" / "me.key"
    first, again = peerz("identity", "--identity", str(path)), peerz("--identity", str(path), "identity", "--json")
    assert (first.exit_code, again.exit_code) == (0, 0)
    peer_id = first.stdout.strip()
    assert public_key_of(PeerId(peer_id))
    assert json.loads(again.stdout) == {"peer_id": peer_id, "identity": str(path)}
    assert path.stat().st_mode & 0o777 == 0o600
    own = json.loads(peerz("identity", "--json").stdout)
    assert own["identity"] == str(tmp_path / "data" / "peerz" / "node.key")
    assert own["peer_id"] != peer_id


def test_a_file_that_is_no_key_ends_with_three(peerz: Any, tmp_path: Path) -> None:
    (tmp_path / "x.key").write_text("hello")
    result = peerz("identity", "--identity", str(tmp_path / "x.key"))
    assert result.exit_code == 3
    assert "is no Peerz key file" in result.stderr


def test_options_before_and_behind_a_command_are_one(peerz: Any, settings_of_generate: list[Any]) -> None:
    peerz("--model", "first", "--peer", A, "generate", "hi", "--model", "second")
    settings = settings_of_generate[0][0]
    assert (settings.model, settings.peer) == ("second", (A,))


def test_a_flag_of_the_environment_counts_when_the_option_is_absent(
    peerz: Any, settings_of_generate: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEERZ_GREEDY", "1")
    peerz("generate", "hi")
    assert settings_of_generate[0][0].greedy


def test_a_dash_reads_the_prompt_from_stdin(peerz: Any, settings_of_generate: list[Any]) -> None:
    peerz("generate", "-", stdin="from a pipe")
    assert settings_of_generate[0][1] == "from a pipe"


def failing(error: BaseException) -> Any:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    return fail


def test_an_error_is_one_sentence_with_its_exit_code(peerz: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    error = NoRoute("no route: nobody serves\nblocks 3:9", missing=[Span(3, 9)])
    monkeypatch.setattr("peerz_node.generation.generate_once", failing(error))
    result = peerz("generate", "x")
    assert result.exit_code == 4
    assert result.stderr == "peerz-node: no route: nobody serves blocks 3:9\n"


def test_an_unforeseen_error_ends_with_seventy_and_no_traceback(peerz: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peerz_node.generation.generate_once", failing(KeyError("odd")))
    result = peerz("generate", "x")
    assert result.exit_code == 70
    assert "unexpected KeyError" in result.stderr
    assert "--debug" in result.stderr


@pytest.mark.parametrize("arguments", [("--debug", "generate", "x"), ("generate", "x", "--debug")])
def test_debug_shows_the_traceback(peerz: Any, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    monkeypatch.setattr("peerz_node.generation.generate_once", failing(KeyError("odd")))
    assert isinstance(peerz(*arguments).exception, KeyError)


def test_ctrl_c_ends_with_130_and_says_nothing(peerz: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peerz_node.generation.generate_once", failing(KeyboardInterrupt()))
    result = peerz("generate", "x")
    assert (result.exit_code, result.stderr) == (130, "")


def test_ctrl_c_counts_even_when_a_library_renames_it(peerz: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def swallow(*args: object, **kwargs: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("cannot import name 'x'") from None

    monkeypatch.setattr("peerz_node.generation.generate_once", swallow)
    assert peerz("generate", "x").exit_code == 130


def test_interrupts_put_back_what_was_there() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupts():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    assert failure_of(BrokenPipeError()).exit_code == 0


def error_classes() -> list[type[ComputeError]]:
    members = [
        c for module in (compute.errors, peerz_node.errors) for _, c in inspect.getmembers(module, inspect.isclass)
    ]
    return sorted({c for c in members if issubclass(c, ComputeError)}, key=lambda c: c.__name__)


def documented_codes() -> list[int]:
    page = (ROOT / "docs" / "cli.md").read_text()
    table = page[page.index("## Exit codes") :]
    return [int(n) for n in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)]


def test_exit_codes_are_documented() -> None:
    assert set(documented_codes()) == {c.exit_code for c in error_classes()} | {0, 2, 70, 130, 143}


FAILURES: dict[int, ComputeError] = {
    1: ChildFailed("a node ended at start"),
    3: UnknownModel("no model 'x'"),
    4: NoRoute("nobody serves 3:9", missing=[Span(3, 9)]),
    5: CacheFull("no room"),
    6: BadReceipt("its signature does not check"),
    7: Unauthorised("this provider is private"),
    8: SelfTestFailed("a kernel gives other numbers"),
    9: AddressInUse("port 1 is in use"),
    10: TokensDiffer("from token 3 on"),
}


CODES_WITH_TESTS_OF_THEIR_OWN = {0, 2, 70, 130, 143}


def test_each_documented_code_has_a_test() -> None:
    assert sorted(documented_codes()) == sorted(FAILURES.keys() | CODES_WITH_TESTS_OF_THEIR_OWN)


@pytest.mark.parametrize("exit_code", FAILURES)
def test_a_failure_ends_a_command_with_its_code(peerz: Any, monkeypatch: pytest.MonkeyPatch, exit_code: int) -> None:
    monkeypatch.setattr("peerz_node.generation.generate_once", failing(FAILURES[exit_code]))
    result = peerz("generate", "x")
    assert (result.exit_code, result.stderr) == (exit_code, f"peerz-node: {FAILURES[exit_code]}\n")


def test_a_demo_whose_tokens_differ_ends_with_ten(peerz: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    swarm, local = (Answer("", tokens, (1,), 1.0, 1.0) for tokens in ((5, 6, 7), (5, 6, 8)))
    monkeypatch.setattr("peerz_node.demo.fetch", lambda name: ModelFiles(name, tmp_path))
    monkeypatch.setattr("peerz_node.demo.providers", lambda directory: contextlib.nullcontext([A]))
    monkeypatch.setattr("peerz_node.demo._through_the_swarm", lambda *_: swarm)
    monkeypatch.setattr("peerz_node.demo._alone", lambda *_: local)
    result = peerz("run")
    assert result.exit_code == 10
    assert "differ from the local model's from token 2 on" in result.stderr


@pytest.mark.parametrize("kind", error_classes(), ids=lambda c: c.__name__)
def test_every_error_ends_with_the_code_of_its_class(kind: type[ComputeError]) -> None:
    error = kind.__new__(kind)
    Exception.__init__(error, "it went wrong")
    failure = failure_of(error)
    assert isinstance(failure, Failure)
    assert (failure.exit_code, failure.message) == (kind.exit_code, "it went wrong")


def test_options_that_docs_name_exist_and_others_are_documented() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    options = {
        name
        for command in [cli, *cli.commands.values()]
        for option in command.params
        for name in option.opts
        if name.startswith("--")
    }
    undocumented = {name for name in options if f"`{name}" not in page and f"{name} " not in page}
    assert undocumented <= {"--version", "--prompt"}


def test_a_command_ends_on_sigterm_with_143(tmp_path: Path) -> None:
    code = (
        "import pathlib, time, peerz_node.generation as g, peerz_node.cli as c\n"
        f"g.generate_once = lambda *a, **k: (pathlib.Path({str(tmp_path / 'up')!r}).touch(), time.sleep(60))\n"
        "c.main()"
    )
    with subprocess.Popen([sys.executable, "-c", code, "generate", "x"], cwd=ROOT, env={**os.environ}) as process:
        deadline_s = time.monotonic() + 30
        while not (tmp_path / "up").exists():
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        process.terminate()
        assert process.wait(10) == 143

"""Commands against a running swarm, as scripts and people use them."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from peerz_node.generation import Sampling, show_nothing

pytestmark = [pytest.mark.e2e, pytest.mark.model, pytest.mark.timeout(180)]

UNUSED_PEER = "12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"


def test_generate_prints_one_json_object(two_providers: Any, peerz: Any, local_generator: Any) -> None:
    done = peerz(
        *("generate", "What is the capital of France?", "--model", "smollm2-135m", "--peer", two_providers[0].address),
        *("--greedy", "--max-new-tokens", "16", "--json"),
    )
    assert done.exit_code == 0, done.stderr
    answer = done.json
    ids = local_generator.encode("What is the capital of France?", chat_template=True)
    local = local_generator.generate(ids, Sampling(max_new_tokens=16, greedy=True), show_nothing)
    assert answer["prompt_token_ids"] == ids
    assert answer["token_ids"] == list(local.token_ids)
    assert answer["text"] == local.text
    assert "Paris" in answer["text"]
    assert [hop["peer_id"] for hop in answer["route"]] == [provider.peer_id for provider in two_providers]
    assert answer["ms_per_token"] > 0
    assert answer["ttft_ms"] > 0
    assert done.stderr == ""


def test_generate_writes_the_text_to_stdout_and_the_rest_to_stderr(two_providers: Any, peerz: Any) -> None:
    arguments = ["--model", "smollm2-135m", "--peer", two_providers[1].address, "--greedy", "--max-new-tokens", "8"]
    done = peerz("generate", "-", *arguments, "--no-chat-template", stdin="The sea is")
    assert done.exit_code == 0, done.stderr
    assert len(done.stdout.strip()) > 10
    assert "tokens/s" in done.stderr
    assert "route 0:15" in done.stderr


def test_status_shows_coverage_and_explains_the_route(two_providers: Any, peerz: Any) -> None:
    arguments = ("status", "--peer", two_providers[0].address, "--model", "smollm2-135m", "--route")
    model = peerz(*arguments, "--json").json["models"][0]
    assert model["covered"] is True
    assert model["replicas"] == [1] * 30
    assert {p["peer_id"] for p in model["providers"]} == {p.peer_id for p in two_providers}
    assert all(p["rtt_ms"] > 0 for p in model["providers"])
    assert [hop["span"] for hop in model["route"]] == [[0, 15], [15, 30]]
    text = peerz(*arguments).stdout
    assert "1" * 30 in text
    assert "all served" in text


def test_a_chat_keeps_one_session_over_turns_and_resets(two_providers: Any, peerz: Any) -> None:
    turns = "My name is Ada.\nWhat is my name?\n/help\n/reset\nSay hi.\n/quit\n"
    arguments = ["--model", "smollm2-135m", "--peer", two_providers[0].address, "--greedy", "--max-new-tokens", "24"]
    done = peerz("chat", *arguments, stdin=turns)
    assert done.exit_code == 0, done.stderr
    assert "Ada" in done.stdout
    assert done.stderr.count("tokens/s") == 3
    assert "[there is no /help" in done.stderr
    assert "[forgotten]" in done.stderr


def test_the_demo_shows_that_the_tokens_are_equal(demo_model: Any, peerz: Any) -> None:
    done = peerz("run", "--max-new-tokens", "12")
    assert done.exit_code == 0, done.stderr
    assert "all 12 greedy tokens equal those of the local model" in done.stdout
    assert "blocks 0:15" in done.stdout
    assert "blocks 15:30" in done.stdout


def test_an_unreachable_peer_is_named(demo_model: Any, peerz: Any) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"/ip4/127.0.0.1/tcp/{closed.getsockname()[1]}/p2p/{UNUSED_PEER}"
        for command in (["generate", "x", "--model", "smollm2-135m"], ["status"]):
            done = peerz(*command, "--peer", address)
            assert done.exit_code == 4, done.stderr
            assert address in done.stderr
            assert done.stderr.count("\n") == 1


def test_what_is_no_address_is_named(demo_model: Any, peerz: Any) -> None:
    done = peerz("status", "--peer", "localhost:4711")
    assert done.exit_code == 2
    assert "localhost:4711" in done.stderr


def test_an_unknown_model_says_how_to_get_one(two_providers: Any, peerz: Any) -> None:
    for command in (["--compute"], ["generate", "x", "--peer", two_providers[0].address], ["model", "inspect"]):
        name = ["no-such-model"] if command[0] == "model" else ["--model", "no-such-model"]
        done = peerz(*command, *name)
        assert done.exit_code == 3, done.stderr
        assert "no-such-model" in done.stderr
        assert "smollm2-135m" in done.stderr


@pytest.mark.parametrize("blocks", ["0:31", "30:31", "15:99"])
def test_blocks_that_the_model_does_not_have_are_refused(start_provider: Any, blocks: str) -> None:
    node = start_provider.spawn(blocks)
    assert node.process.wait(60) == 2, node.last_words()
    assert "30" in node.last_words()


def test_missing_blocks_are_named(start_provider: Any, peerz: Any) -> None:
    only = start_provider("3:15")
    arguments = ("--model", "smollm2-135m", "--peer", only.address)
    done = peerz("generate", "x", *arguments)
    assert done.exit_code == 4
    assert "0:3" in done.stderr
    assert "15:30" in done.stderr
    status = peerz("status", *arguments, "--json").json["models"][0]
    assert status["missing"] == [[0, 3], [15, 30]]


def test_replicas_that_overlap_are_both_counted(start_provider: Any, peerz: Any) -> None:
    first = start_provider("0:20")
    second = start_provider("10:30", peer=first.address)
    model = peerz("status", "--peer", second.address, "--route", "--json").json["models"][0]
    assert model["replicas"] == [1] * 10 + [2] * 10 + [1] * 10
    assert model["route"][0]["span"][0] == 0
    assert model["route"][-1]["span"][1] == 30


def test_a_provider_without_blocks_takes_what_is_missing(start_provider: Any, demo_model: Any, peerz: Any) -> None:
    first = start_provider("0:15")
    node = start_provider.spawn(None, peer=first.address)
    facts = node.wait_ready(90)
    assert facts["span"][0] <= 15
    assert facts["span"][1] == 30


def test_models_on_this_machine_are_listed_and_described(demo_model: Any, peerz: Any) -> None:
    listed = peerz("model", "list", "--json").json
    assert next(row for row in listed if row["name"] == "smollm2-135m")["bytes"] > 10**8
    facts = peerz("model", "inspect", "smollm2-135m", "--json").json
    assert (facts["family"], facts["blocks"], facts["width"]) == ("llama", 30, 576)
    assert len(facts["model_root"]) == 64
    assert "30" in peerz("model", "inspect", "smollm2-135m").stdout

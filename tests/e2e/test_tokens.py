"""The promise: the swarm's tokens are the local model's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from peerz_node.generation import Sampling, answer_with_route, show_nothing, swarm_generator
from peerz_node.settings import Settings

pytestmark = [pytest.mark.e2e, pytest.mark.model, pytest.mark.timeout(300)]

PROMPTS = (
    "Why is the sea salty?",
    "Write a short poem about a lighthouse.",
    "Explain in one paragraph how a bicycle stays upright.",
)


@pytest.fixture(scope="module")
def swarm(two_providers: Any) -> Any:
    settings = Settings(model="smollm2-135m", peer=(two_providers[0].address,))
    with swarm_generator(settings) as generator:
        yield generator


@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_tokens_are_those_of_the_local_model(swarm: Any, local_generator: Any, prompt: str) -> None:
    ids = local_generator.encode(prompt, chat_template=True)
    sampling = Sampling(max_new_tokens=64, greedy=True)
    answer, route = answer_with_route(swarm, ids, sampling, show_nothing)
    assert answer.token_ids == local_generator.generate(ids, sampling, show_nothing).token_ids
    assert [hop["span"] for hop in route] == [[0, 15], [15, 30]]


def test_sampled_tokens_are_those_of_the_local_model_with_the_same_seed(swarm: Any, local_generator: Any) -> None:
    ids = local_generator.encode("Once upon a time", chat_template=False)
    sampling = Sampling(max_new_tokens=24, seed=7, temperature=0.8)
    answer, _ = answer_with_route(swarm, ids, sampling, show_nothing)
    assert answer.token_ids == local_generator.generate(ids, sampling, show_nothing).token_ids


def test_eight_clients_at_once_get_exactly_their_own_tokens(swarm: Any, local_generator: Any) -> None:
    sampling = Sampling(max_new_tokens=24, greedy=True)
    prompts = [
        local_generator.encode(f"Tell me {n} things about the number {n}.", chat_template=True) for n in range(2, 10)
    ]
    alone = [local_generator.generate(ids, sampling, show_nothing).token_ids for ids in prompts]
    with ThreadPoolExecutor(len(prompts)) as pool:
        together = list(pool.map(lambda ids: answer_with_route(swarm, ids, sampling, show_nothing)[0], prompts))
    assert [answer.token_ids for answer in together] == alone

"""A distributed model from a directory: what is loaded here and what is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from compute.errors import UnknownModel

GREEDY: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False}


@pytest.fixture
def directory(pair: Any, tmp_path: Path) -> Path:
    pair.whole.save_pretrained(tmp_path)
    return tmp_path


def load(name: str, pair: Any, **kwargs: Any) -> Any:
    from compute.client.model import AutoDistributedModelForCausalLM

    return AutoDistributedModelForCausalLM.from_pretrained(name, source=pair.source, **kwargs)


def test_generates_like_the_whole_model(pair, directory, padded):
    with load(str(directory), pair) as model:
        got = model.generate(**padded, **GREEDY)
    assert torch.equal(got, pair.whole.generate(**padded, **GREEDY))
    assert pair.source.closed


def test_no_block_is_loaded(pair, directory):
    model = load(str(directory), pair)
    assert not [name for name, _ in model.named_parameters() if ".layers." in name]


def test_local_parts_in_another_dtype(pair, directory, prompts):
    model = load(str(directory), pair, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model.generate(prompts, **GREEDY).shape == (3, 19)


def test_generation_settings_of_the_checkpoint_are_used(pair, directory):
    (directory / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 77]}))
    assert load(str(directory), pair).generation_config.eos_token_id == [2, 77]


def test_unknown_model(pair):
    with pytest.raises(UnknownModel):
        load("no-such-model", pair)

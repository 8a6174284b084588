"""A tiny GGUF file of our own making, through the same conversion as the demo model."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from tiny_models import tiny_model
from transformers import AutoTokenizer

from compute.errors import WeightsCorrupt
from compute.models.gguf_import import import_gguf
from compute.models.loading import load_local_model, load_span
from compute.models.manifest import load_manifest
from compute.models.sources import ModelFiles
from compute.types import Span

_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def _gguf_name(name: str) -> str:
    for ours, theirs in (("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"), ("lm_head", "output")):
        if name.startswith(ours):
            return f"{theirs}.weight"
    _, _, number, *path, _ = name.split(".")
    return f"blk.{number}.{_NAMES['.'.join(path)]}.weight"


def _interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """GGUF keeps the two halves of a rotary pair side by side."""
    rows, width = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, width).swapaxes(1, 2).reshape(rows, width)


def _write(path: Path, model: torch.nn.Module) -> None:
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["t", "0", "t0", *(f"<{i}>" for i in range(3, config.vocab_size))])
    writer.add_token_types([1] * config.vocab_size)
    writer.add_token_merges(["t 0"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for name, tensor in model.state_dict().items():
        values = tensor.numpy()
        if "q_proj" in name:
            values = _interleaved(values, config.num_attention_heads)
        if "k_proj" in name:
            values = _interleaved(values, config.num_key_value_heads)
        writer.add_tensor(_gguf_name(name), np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    _write(tmp_path / "tiny.gguf", tiny_model("llama"))
    return tmp_path / "tiny.gguf"


def test_an_imported_model_computes_what_its_source_does(file: Path, tmp_path: Path) -> None:
    said: list[tuple[str, int, int]] = []
    out = tmp_path / "models" / "tiny"
    import_gguf(file, out, lambda *step: said.append(step))
    files = ModelFiles("tiny", out)
    source, imported = tiny_model("llama"), load_local_model(files)
    ids = torch.tensor([[5, 9, 60, 3]])
    with torch.inference_mode():
        assert torch.allclose(imported(ids).logits, source(ids).logits, atol=1e-6)
    assert load_span(files, Span(0, 4)).model_root == load_manifest(out).root
    assert AutoTokenizer.from_pretrained(out).convert_tokens_to_ids("t0") == 2
    assert said[-1] == ("converting tiny.gguf", 4, 4)
    assert [path.name for path in out.parent.iterdir()] == ["tiny"]


def test_a_conversion_that_gives_another_model_than_expected_keeps_nothing(file: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsCorrupt, match=r"instead of 7878.*constraints\.txt"):
        import_gguf(file, tmp_path / "models" / "tiny", root=b"x" * 32)
    assert list((tmp_path / "models").iterdir()) == []
    import_gguf(file, tmp_path / "models" / "tiny")
    import_gguf(file, tmp_path / "models" / "again", root=load_manifest(tmp_path / "models" / "tiny").root)


def test_a_truncated_file_leaves_nothing_behind(file: Path, tmp_path: Path) -> None:
    file.write_bytes(file.read_bytes()[:-2000])
    with pytest.raises(WeightsCorrupt, match=r"tiny\.gguf"):
        import_gguf(file, tmp_path / "models" / "tiny")
    assert list((tmp_path / "models").iterdir()) == []


def test_an_interrupted_import_leaves_nothing_behind(file: Path, tmp_path: Path) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_gguf(file, tmp_path / "models" / "tiny", interrupt)
    assert list((tmp_path / "models").iterdir()) == []

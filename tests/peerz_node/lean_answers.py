"""Run by `test_lean_imports.py` in processes of their own: what models answer, and which modules were loaded for it."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from peerz_node import lean_imports

WATCHED = (
    "torch._dynamo",
    "torch._inductor",
    "torch.distributed.tensor",
    "sympy",
    "scipy",
    "accelerate",
    "bitsandbytes",
    "hivemind.optim",
)


def loaded() -> list[str]:
    return [name for name in WATCHED if name in sys.modules]


def digest(*tensors: Any) -> str:
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
    return found.hexdigest()


def provided(directory: Path) -> str:
    """Digest of what the blocks of a checkpoint make of fixed hidden states, loaded as a provider loads them."""
    import torch

    from compute.models.loading import load_span
    from compute.models.sources import ModelFiles
    from compute.runner.naive import naive_outputs
    from compute.types import Span

    span = Span(1, 3)
    part = load_span(ModelFiles(directory.name, directory), span)
    hidden = torch.randn(9, part.config.hidden_size, generator=torch.Generator().manual_seed(3))
    return digest(naive_outputs(part, span, hidden))


def generated(directory: Path) -> list[str]:
    """Digests of the logits of the stock model, and of greedy, sampled and beam-searched tokens."""
    import torch

    from compute.models.loading import load_local_model
    from compute.models.sources import ModelFiles

    model = load_local_model(ModelFiles(directory.name, directory))
    ids = torch.arange(3, 14)[None]
    common = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 6}
    with torch.no_grad():
        logits = model(ids).logits
    torch.manual_seed(7)
    return [
        digest(logits),
        digest(model.generate(ids, do_sample=False, **common)),
        digest(model.generate(ids, do_sample=True, top_p=0.9, temperature=0.7, **common)),
        digest(model.generate(ids, do_sample=False, num_beams=3, **common)),
    ]


def outer(directory: Path) -> list[str]:
    """Digests of what a client loads: everything but the blocks."""
    from compute.models.loading import load_outer
    from compute.models.sources import ModelFiles

    model, _ = load_outer(ModelFiles(directory.name, directory))
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return [f"{name} {digest(tensor.detach())}" for name, tensor in sorted(tensors.items())]


def main(models: Path) -> None:
    """Prints one JSON object about the checkpoints in `models`."""
    lean_imports.load("peerz_node.provider_factory")
    from compute.server.provider import Provider  # noqa: F401 (loaded above: as `provide` finds it)

    directories = sorted(models.iterdir())
    blocks = {directory.name: provided(directory) for directory in directories}
    by_provider, client_in_provider = loaded(), [name for name in sys.modules if name.startswith("compute.client")]
    lean_imports.load("compute.client.model", "compute.client.swarm_client")
    outers = {directory.name: outer(directory) for directory in directories}
    by_both = loaded()
    found = {
        "by provider": by_provider,
        "client in provider": client_in_provider,
        "by both": by_both,
        "blocks": blocks,
        "outer": outers,
        "generated": {directory.name: generated(directory) for directory in directories},
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

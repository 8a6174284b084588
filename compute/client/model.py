"""`AutoDistributedModelForCausalLM`: the library's front door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from compute.client.distributed import ClosableSource, distribute
from compute.models.loading import load_outer
from compute.models.manifest import Manifest
from compute.models.sources import resolve


class AutoDistributedModelForCausalLM:
    """Makes distributed models; is none itself."""

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        *,
        initial_peers: Sequence[str] = (),
        dtype: torch.dtype = torch.float32,
        cache_dir: Path | None = None,
        source: ClosableSource | None = None,
        **client_options: Any,
    ) -> Any:
        """The model `name`: embeddings, norm and head loaded here in `dtype`, blocks reached through a swarm.

        Args:
            name: directory, built-in name or hub id, as for `peerz-node --model`.
            initial_peers: multiaddresses of nodes to join by.
            source: an open client to use instead of joining; closing the model closes it.
            client_options: further keywords of `compute.client.swarm_client.SwarmClient.connect`.

        Returns:
            An instance of the family's own `...ForCausalLM` with what `DistributedModel` adds; close it, or use `with`.

        Raises:
            UnknownModel, UnsupportedModel, WeightsCorrupt: about the files here.
            PeerUnreachable: none of the initial peers answered.
        """
        files = resolve(name, cache_dir)
        outer, manifest = load_outer(files, dtype=dtype)
        if (files.directory / "generation_config.json").is_file():
            outer.generation_config = GenerationConfig.from_pretrained(files.directory)
        return distribute(outer, source or _connect(manifest, initial_peers, client_options))


def _connect(manifest: Manifest, initial_peers: Sequence[str], options: Mapping[str, Any]) -> ClosableSource:
    # Here, since whoever brings a source of their own needs no hivemind, which takes seconds to import.
    from compute.client.swarm_client import SwarmClient

    return SwarmClient.connect(manifest, initial_peers=initial_peers, **options)

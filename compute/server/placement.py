"""Which blocks a provider takes: those it was told, or those that the swarm needs most and its memory holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compute.errors import BadRequest
from compute.models.checkpoint import Checkpoint
from compute.models.manifest import Manifest
from compute.models.sources import ModelFiles
from compute.server.memory import plan_memory
from compute.swarm.balancing import choose_span
from compute.swarm.records import ProviderRecord
from compute.types import Precision, Span

BLOCK_TOKENS_S = 1000.0
"""Decode rate of one block, tokens per second, assumed until the span is loaded and measured: about 1 ms per block."""


@dataclass(frozen=True, slots=True)
class Placement:
    """`cache_bytes` and `blocks_max`, how many fit, are None where the span was given and memory was not counted."""

    span: Span
    cache_bytes: int | None
    blocks_max: int | None = None


def given_placement(span: Span, manifest: Manifest, model: str, cache_bytes: int | None) -> Placement:
    """Raises BadRequest when the model has no such blocks."""
    if span.end > manifest.n_blocks:
        raise BadRequest(f"{model} has blocks 0:{manifest.n_blocks}; {span} reaches beyond them", span=span)
    return Placement(span, cache_bytes)


def choose_placement(
    records: Sequence[ProviderRecord],
    manifest: Manifest,
    files: ModelFiles,
    precision: Precision,
    free_bytes: int,
    cache_bytes: int | None,
) -> Placement:
    """The span that raises the swarm's bottleneck most. Raises BadRequest when not even one block fits into memory."""
    weights = weights_per_block(files, manifest)
    plan = plan_memory(free_bytes, weights, precision, manifest.n_blocks, cache_bytes)
    span = choose_span(records, manifest.n_blocks, plan.blocks_max, BLOCK_TOKENS_S)
    return Placement(span, plan.cache_bytes, plan.blocks_max)


def weights_per_block(files: ModelFiles, manifest: Manifest) -> int:
    """Values in the weights of the largest block."""
    checkpoint = Checkpoint(files.directory)
    return max(sum(checkpoint.tensor(name).value.numel() for name in block) for block in manifest.blocks)

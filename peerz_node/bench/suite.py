"""All figures in one run, from processes started for it to a record."""

from __future__ import annotations

from typing import Any

import torch

from compute.client.model import AutoDistributedModelForCausalLM
from compute.models.progress import Progress
from compute.models.sources import ModelFiles
from peerz_node.bench.codecs import codec_figures
from peerz_node.bench.failover import failover_figures
from peerz_node.bench.processes import provider_processes
from peerz_node.bench.record import Figure, Record
from peerz_node.bench.resources import cache_figures, idle_figure, memory_figure, start_figure
from peerz_node.bench.speed import LocalBlocks, client_figures, first_token_figures, hop_figures
from peerz_node.generation import load_tokenizer

_PROVIDER = ("--precision", "fp32", "--threads", "1")


def run_suite(files: ModelFiles, n_blocks: int, command: str, progress: Progress) -> Record:
    """Measures everything on this machine; takes about three minutes."""
    torch.set_num_threads(1)
    tokenizer = load_tokenizer(files)
    figures: list[Figure] = []
    half = n_blocks // 2
    first, second = f"0:{half}", f"{half}:{n_blocks}"
    progress("codecs and cache", 0, 5)
    figures += codec_figures()
    figures += cache_figures(files)
    starts_s: list[float] = []
    progress("two providers: latency and throughput", 1, 5)
    with provider_processes(files.name, (first, second), *_PROVIDER) as running:
        starts_s += [process.start_s for process in running]
        figures.append(idle_figure(running[0]))
        figures += _speed(files, tokenizer, running[0].address)
        figures.append(memory_figure(running[0], files))
    progress("four providers: fail-over", 3, 5)
    with provider_processes(files.name, (first, second, second, second), *_PROVIDER) as running:
        starts_s += [process.start_s for process in running]
        figures += failover_figures(files.name, tokenizer, running)
    figures.append(start_figure(starts_s))
    progress("done", 5, 5)
    return Record(command, tuple(figures))


def _speed(files: ModelFiles, tokenizer: Any, address: str) -> list[Figure]:
    local = LocalBlocks(files)
    with AutoDistributedModelForCausalLM.from_pretrained(files.name, initial_peers=[address]) as model:
        client = model._peerz_source
        figures = hop_figures(client, model, tokenizer, local)
        figures += first_token_figures(client, model, tokenizer, local)
        return figures + client_figures(client, model, tokenizer)

"""What each precision costs in quality and gains in bytes and time, against fp32 on the same text.

    python benchmarks/quality.py [--model smollm2-135m] [--precision bf16 ...] [--json FILE]

All blocks of the model are held in the precision that is measured; embeddings, last norm and head stay in fp32, where
the client keeps them. The text is scored in one pass, every token given all before it. For models of the Llama kind,
whose embeddings go into the first block as they are.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from compute.models.loading import LoadOptions, load_outer, load_span
from compute.models.sources import ModelFiles, resolve
from compute.runner.naive import naive_outputs
from compute.runner.selftest import measure
from compute.types import Precision, Span
from peerz_node.bench.record import Figure, Record, median_figure

TEXT = """\
The ferry to the island leaves twice a day, once before the market opens and once when the light begins to fail. For as
long as anyone remembers, the same family has run it. The grandmother sold tickets from a wooden booth and knew every
passenger by the sound of their shoes; her son repaired the engine, which was older than he was, with parts that he made
himself; and the granddaughter, who had studied physics in the city and come back, now stood at the wheel and watched
the water.

What she liked about the crossing was that it could be understood. A boat moves forward because its propeller throws
water backward. It floats because it pushes aside exactly its own weight. The tide comes in because the moon pulls a
little harder on the near side of the earth than on the far side, and it comes in later every day because the moon has
moved on in the meantime. Nobody had to believe these things. You could measure them with a stick, a clock and some
patience, and you would get the same answer as everyone else.

People were harder. Last winter the council had asked whether the ferry should be replaced by a bridge. The shopkeepers
were in favour, since a bridge does not stop for storms. The fishermen were against it, since the pillars would change
the currents, and with the currents the places where the fish gather. The teacher said that children who grow up on an
island with a bridge do not grow up on an island. There were three meetings. At the first, everyone spoke at once. At
the second, nobody wanted to begin. At the third, an old man who had not said a word stood up and asked how much the
bridge would cost, who would pay for it, and what would happen to the money if it were not built. It turned out that no
one had written this down.

So they wrote it down. It took most of a year. They counted how many people crossed each month, how often the boat had
stayed in the harbour, how many hours were lost and what an hour was worth. In the end the numbers were close, and the
decision was made for a reason that was in none of the columns: when the fog is thick, she blows the horn, and from the
houses along the shore they answer her with bells.
"""
MEASURED = (Precision.FP32, Precision.BF16, Precision.INT8, Precision.INT8_CPU, Precision.NF4)
_REPEATS = 3
_TABLE_WIDTH = 120


@dataclass(frozen=True, slots=True)
class Quality:
    """One precision. Shares and means are over the scored tokens; `reference` is fp32."""

    precision: Precision
    quant_spec: str
    cross_entropy: float
    top1_agreement: float
    kl_mean: float
    kl_max: float
    weight_bytes: int
    load_s: tuple[float, ...]
    decode_tokens_s: tuple[float, ...]
    prefill_tokens_s: tuple[float, ...]


class Scorer:
    """Scores a text with the blocks of a model held in one precision after another."""

    def __init__(self, files: ModelFiles, text: str) -> None:
        from transformers import AutoTokenizer

        self._files = files
        tokens = AutoTokenizer.from_pretrained(files.directory)(text, return_tensors="pt")["input_ids"][0]
        self._tokens: torch.Tensor = tokens
        self._outer, manifest = load_outer(files)
        self._span = Span(0, manifest.n_blocks)
        self._reference: torch.Tensor | None = None

    @property
    def n_tokens(self) -> int:
        return len(self._tokens)

    def score(self, precision: Precision) -> Quality:
        """Raises ValueError unless the first precision asked for is fp32."""
        loads_s = []
        for _ in range(2):  # the second finds the quantised blocks on disk
            started_s = time.perf_counter()
            loaded = load_span(self._files, self._span, LoadOptions(precision=precision))
            loads_s.append(time.perf_counter() - started_s)
        with torch.inference_mode():
            hidden = self._outer.get_input_embeddings()(self._tokens).to(loaded.dtype)
            log_p = self._log_probabilities(naive_outputs(loaded, self._span, hidden))
            rates = [measure(loaded) for _ in range(_REPEATS)]
        if self._reference is None:
            if precision is not Precision.FP32:
                raise ValueError("fp32 must come first: everything is compared with it")
            self._reference = log_p
        kl = (self._reference.exp() * (self._reference - log_p)).sum(-1)
        return Quality(
            precision=precision,
            quant_spec=loaded.quant_spec,
            cross_entropy=float(-log_p[:-1].gather(1, self._tokens[1:, None]).mean()),
            top1_agreement=float((self._reference.argmax(-1) == log_p.argmax(-1)).double().mean()),
            kl_mean=float(kl.mean()),
            kl_max=float(kl.max()),
            weight_bytes=loaded.weight_bytes,
            load_s=tuple(loads_s),
            decode_tokens_s=tuple(1e6 / rate.decode_us for rate in rates),
            prefill_tokens_s=tuple(float(rate.prefill_tokens_s) for rate in rates),
        )

    def _log_probabilities(self, hidden: torch.Tensor) -> torch.Tensor:
        """`[tokens, vocabulary]` in fp64: the stock model without blocks is norm and head."""
        logits = self._outer(inputs_embeds=hidden.float()[None], use_cache=False).logits[0]
        log_p: torch.Tensor = logits.double().log_softmax(-1)
        return log_p


def record_of(command: str, model: str, n_tokens: int, rows: Sequence[Quality]) -> Record:
    figures: list[Figure] = []
    for row in rows:
        name = row.precision.value
        figures += [
            Figure(f"{name}: cross entropy", row.cross_entropy, "nats/token", note=row.quant_spec),
            Figure(f"{name}: same most likely token as fp32", row.top1_agreement, "share", better="higher"),
            Figure(f"{name}: KL from fp32, mean", row.kl_mean, "nats/token"),
            Figure(f"{name}: KL from fp32, largest", row.kl_max, "nats"),
            Figure(f"{name}: bytes of the blocks", row.weight_bytes, "B"),
            Figure(f"{name}: loading, first time", row.load_s[0], "s"),
            Figure(f"{name}: loading, again", row.load_s[1], "s"),
            median_figure(f"{name}: decode, blocks only", row.decode_tokens_s, "tokens/s", better="higher"),
            median_figure(f"{name}: prompt of 64, blocks only", row.prefill_tokens_s, "tokens/s", better="higher"),
        ]
    limits = (
        f"{model}, one English text of {n_tokens} tokens, scored once.",
        "A small model loses more to 4 bits than a large one does; this one came from 4-bit weights already.",
        f"Rates: {torch.get_num_threads()} thread(s) of this machine, on a cache of one session.",
    )
    return Record(command, tuple(figures), limits=limits)


def table_of(rows: Sequence[Quality]) -> Table:
    columns = "precision|top-1 = fp32|KL mean|KL max|CE|MB|load s|again s|decode tok/s|prompt tok/s"
    table = Table(*columns.split("|"))
    for row in rows:
        table.add_row(
            row.precision.value,
            f"{row.top1_agreement:.1%}",
            f"{row.kl_mean:.4f}",
            f"{row.kl_max:.3f}",
            f"{row.cross_entropy:.4f}",
            f"{row.weight_bytes / 1e6:.1f}",
            *(f"{value:.2f}" for value in row.load_s),
            *(f"{statistics.median(value):.1f}" for value in (row.decode_tokens_s, row.prefill_tokens_s)),
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--precision", nargs="*", type=Precision, default=list(MEASURED[1:]), help="beside fp32")
    parser.add_argument("--json", type=Path, help="write the record here")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options: Any = parser.parse_args()
    torch.set_num_threads(options.threads)
    scorer = Scorer(resolve(options.model), TEXT)
    wanted = [Precision.FP32, *(p for p in options.precision if p is not Precision.FP32)]
    rows = [scorer.score(precision) for precision in wanted]
    console = Console()
    console.width = max(console.width, _TABLE_WIDTH)
    console.print(table_of(rows))
    if options.json:
        command = " ".join(["python", *sys.argv])
        record = record_of(command, options.model, scorer.n_tokens, rows)
        options.json.write_text(json.dumps(record.as_json(), indent=1) + "\n")


if __name__ == "__main__":
    main()

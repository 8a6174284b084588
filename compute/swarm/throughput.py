"""How a training batch is split over parallel chains of providers. Pure: records in, chains with shares out.

A training pass has no round trip per token, so what counts is how many tokens per second flow while a chain works on
several micro-batches at once: a chain is as fast as its slowest hop. A provider's time is what is shared out: a chain
that sends `x` tokens per second through a part of its span takes `x * part / rate` of it. Chains are found one after
the other, each the one that a row passes soonest given the time that is left of every provider, until nothing is left
or enough chains are found. Every chain uses up at least one provider, so this ends, and no provider is promised twice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from compute.errors import NoRoute
from compute.swarm.paths import Offer, cheapest_path
from compute.swarm.records import PeerState, ProviderRecord
from compute.swarm.routing import UNKNOWN_RTT_S, missing_blocks
from compute.types import Codec, PeerId, Span

_DEFAULT_TOKENS_S = 200.0
_TIME_MIN = 1e-6


@dataclass(frozen=True, slots=True)
class ThroughputRequest:
    """What is to be split.

    Args:
        within: blocks to cover.
        rows: sequences in the batch.
        row_tokens: per sequence; long ones outweigh the cost of another hop.
        chains_max: at most so many chains, and never more than rows.
        excluded: peers that must not be used.
        codec, quant_spec: as in `RouteRequest`.
    """

    within: Span
    rows: int
    row_tokens: int = 512
    chains_max: int = 8
    excluded: Collection[PeerId] = ()
    codec: Codec = Codec.RAW
    quant_spec: str = ""


@dataclass(frozen=True, slots=True)
class ChainHop:
    peer: PeerId
    span: Span
    record: ProviderRecord


@dataclass(frozen=True, slots=True)
class Chain:
    """Hops that tile the blocks asked for, the tokens per second that they have time for, and their share of rows."""

    hops: tuple[ChainHop, ...]
    tokens_s: float
    rows: int


def plan_throughput(
    request: ThroughputRequest, records: Sequence[ProviderRecord], rtt_s: Mapping[PeerId, float]
) -> tuple[Chain, ...]:
    """Chains with their rows, fastest first; rows add up to `request.rows` and no chain is without.

    Raises NoRoute, naming the blocks that nobody serves, and ValueError for a batch without rows.
    """
    if request.rows < 1 or request.chains_max < 1:
        raise ValueError("a batch has at least one row and goes over at least one chain")
    usable = sorted(
        (record for record in records if _is_usable(record, request)), key=lambda record: (record.peer_id, record.span)
    )
    time_left = {record.peer_id: 1.0 for record in usable}
    found: list[tuple[tuple[ChainHop, ...], float]] = []
    while len(found) < min(request.chains_max, request.rows):
        hops = _soonest(request, usable, time_left, rtt_s)
        if hops is None:
            break
        tokens_s = _rate(hops, time_left)
        for hop in hops:
            left = time_left[hop.peer] - tokens_s * len(hop.span) * _block_s(hop.record)
            time_left[hop.peer] = left if left > _TIME_MIN else 0.0
        found.append((hops, tokens_s))
    if not found:
        missing = missing_blocks(usable, request.within)
        names = ", ".join(str(run) for run in missing)
        raise NoRoute(f"no chain for training: nobody serves blocks {names}", missing=missing)
    shares = split_rows(request.rows, [tokens_s for _, tokens_s in found])
    chains = [Chain(hops, tokens_s, rows) for (hops, tokens_s), rows in zip(found, shares, strict=True) if rows]
    return tuple(sorted(chains, key=lambda chain: -chain.tokens_s))


def split_rows(rows: int, capacities: Sequence[float]) -> tuple[int, ...]:
    """`rows` in proportion to `capacities` (largest remainder, first wins ties); parts add up exactly."""
    total = sum(capacities)
    exact = [rows * capacity / total for capacity in capacities]
    parts = [int(part) for part in exact]
    by_remainder = sorted(range(len(parts)), key=lambda number: (parts[number] - exact[number], number))
    for number in by_remainder[: rows - sum(parts)]:
        parts[number] += 1
    return tuple(parts)


def _is_usable(record: ProviderRecord, request: ThroughputRequest) -> bool:
    return (
        record.state is PeerState.ONLINE
        and record.peer_id not in request.excluded
        and record.span.overlaps(request.within)
        and request.codec in record.codecs
        and request.quant_spec in ("", record.quant_spec)
    )


def _block_s(record: ProviderRecord) -> float:
    """Seconds per token and block."""
    return 1 / len(record.span) / (record.prefill_tokens_s or _DEFAULT_TOKENS_S)


def _rate(hops: Sequence[ChainHop], time_left: Mapping[PeerId, float]) -> float:
    """Tokens per second that the chain has time for; a provider that it visits twice divides its time."""
    needed: dict[PeerId, float] = {}
    for hop in hops:
        needed[hop.peer] = needed.get(hop.peer, 0.0) + len(hop.span) * _block_s(hop.record)
    return min(time_left[peer] / seconds for peer, seconds in needed.items())


def _soonest(
    request: ThroughputRequest,
    usable: Sequence[ProviderRecord],
    time_left: Mapping[PeerId, float],
    rtt_s: Mapping[PeerId, float],
) -> tuple[ChainHop, ...] | None:
    """The chain that a row passes soonest when every provider only works in the time it has left; None if none has."""
    live = [record for record in usable if time_left[record.peer_id] > 0]
    offers = [
        Offer(
            span=record.span,
            hop_s=rtt_s.get(record.peer_id, UNKNOWN_RTT_S),
            block_s=request.row_tokens * _block_s(record) / time_left[record.peer_id],
        )
        for record in live
    ]
    path = cheapest_path(offers, request.within)
    if path is None:
        return None
    return tuple(ChainHop(live[number].peer_id, span, live[number]) for span, number in path)

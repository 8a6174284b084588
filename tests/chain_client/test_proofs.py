"""Proofs for all integers, on the code of `chain_client.consensus` as it stands.

Unbounded values, small fixed numbers of parts; the property tests of the crate cover many parts and the 128-bit limits.
The Rust crate computes the same: `test_consensus_vectors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
import z3

from chain_client.consensus import PPM, arith, emission, review, slash, units
from chain_client.consensus.accuracy import pay_weight
from chain_client.consensus.arith import U128_MAX, smooth
from chain_client.consensus.median import weighted_median
from chain_client.consensus.slash import SlashCaps, Slashed
from chain_client.consensus.split import largest_remainder, pro_rata
from tests.chain_client.symbolic import Bool, Int, assume, greatest, least, natural_product, prove, symbols


def natural(*values: Int) -> list[Bool]:
    """All are from 0 to half of the 128-bit range: a sum of two still fits."""
    return [bound for value in values for bound in (value >= 0, value <= U128_MAX // 2)]


def ints(values: Sequence[Int]) -> list[int]:
    """Symbols where the code asks for integers."""
    return cast(list[int], list(values))


def merge_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    """`min` and `max` become formulas instead of forks."""
    for module in (arith, emission, review, slash, units):
        monkeypatch.setattr(module, "min", least, raising=False)
        monkeypatch.setattr(module, "max", greatest, raising=False)


def parts_of(whole: Int, names: str) -> list[Int]:
    """Symbols that add up to `whole`: the last is the rest."""
    *firsts, _ = symbols(names)
    return [*firsts, whole - sum(firsts)]


@pytest.mark.parametrize("names", ["a b", "a b c"])
def test_largest_remainder_gives_everything_away_and_rounds_each_part_by_less_than_one(names: str) -> None:
    total, whole = symbols("total whole")
    weights = parts_of(whole, names)

    def claims() -> list[Bool]:
        parts: list[Any] = largest_remainder(total, ints(weights))
        each = [
            claim
            for part, weight in zip(parts, weights, strict=True)
            for claim in (part * whole < total * weight + whole, part * whole > total * weight - whole)
        ]
        return [sum(parts) == total, *each]

    assert prove(claims, [*natural(total, *weights), whole > 0]) > 1


def test_a_part_never_exceeds_its_weight_where_there_is_no_more_to_give_than_weight() -> None:
    """From the rounding shown above follows the contract on which the proofs about role weights rest."""
    total, whole, weight, part = symbols("total whole weight part")

    def claims() -> list[Bool]:
        natural_product(weight, whole - total)
        return [part <= weight, part >= 0]

    rounded = [part * whole < total * weight + whole, part * whole > total * weight - whole]
    assert prove(claims, [*natural(total, weight), *rounded, whole > 0, total <= whole]) == 1


def test_claims_never_exceed_the_pool() -> None:
    pool, whole = symbols("pool whole")
    units_of = parts_of(whole, "a b c")

    def claims() -> list[Bool]:
        paid: list[Any] = [pro_rata(cast(int, pool), cast(int, own), cast(int, whole)) for own in units_of]
        return [sum(paid) <= pool, sum(paid) > pool - 3]

    assert prove(claims, [*natural(pool, *units_of, whole), whole > 0])


def test_splitting_an_identity_gains_nothing_in_a_claim() -> None:
    pool, whole, a, b = symbols("pool whole a b")

    def claims() -> list[Bool]:
        pay: Any = lambda own: pro_rata(cast(int, pool), own, cast(int, whole))  # noqa: E731
        return [pay(a) + pay(b) <= pay(a + b)]

    assert prove(claims, [*natural(pool, whole, a, b), whole > 0, a + b <= whole])


def test_splitting_a_stake_gains_nothing() -> None:
    score, a, b = symbols("score a b")

    def claims() -> list[Bool]:
        weight: Any = pay_weight
        return [weight(a, score) + weight(b, score) <= weight(a + b, score), weight(a + b, score) <= a + b]

    assert prove(claims, [*natural(a, b), score >= 0])


def test_a_minority_cannot_move_the_median_out_of_the_others_range() -> None:
    a, b, lie, weight_a, weight_b, weight_lie = symbols("a b lie weight_a weight_b weight_lie")

    def claims() -> list[Bool]:
        votes: Any = [(a, weight_a), (lie, weight_lie), (b, weight_b)]
        median: Any = weighted_median(votes)
        return [min(a, b) <= median, median <= max(a, b)]  # type: ignore[type-var]

    given = [*natural(a, b, lie, weight_a, weight_b, weight_lie), weight_a > 0, weight_b > 0]
    assert prove(claims, [*given, weight_lie < weight_a + weight_b]) > 6


def test_with_one_half_the_median_can_be_pulled_down_but_never_up() -> None:
    honest, lie, weight = symbols("honest lie weight")

    def claims() -> list[Bool]:
        votes: Any = [(honest, weight), (lie, weight)]
        median: Any = weighted_median(votes)
        return [median <= honest]

    assert prove(claims, [*natural(honest, lie, weight), weight > 0])


def test_splitting_a_span_changes_no_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    # The limit of 128 bits is left out here: it can only lower what the whole costs where that is astronomical.
    monkeypatch.setattr(units, "u128", lambda value: value)
    first, second, params, width, tokens, attended = symbols("first second params width tokens attended")

    def claims() -> list[Bool]:
        def of(blocks: Any) -> Any:
            work: Any = units.Work(units.Kind.DECODE, blocks, params, width, tokens, attended)  # type: ignore[arg-type]
            return units.cost(work)

        return [of(first) + of(second) == of(first + second)]

    assert prove(claims, []) == 1


@pytest.mark.parametrize(("odd_first", "odd_second"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_cutting_a_prefill_changes_nothing_that_is_attended(
    odd_first: int, odd_second: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "u128", lambda value: value)
    position, half_first, half_second = symbols("position half_first half_second")
    first, second = 2 * half_first + odd_first, 2 * half_second + odd_second

    def claims() -> list[Bool]:
        of: Any = units.attended
        return [of(position, first) + of(position + first, second) == of(position, first + second)]

    assert prove(claims, [position >= 0, first >= 0, second >= 0]) == 1


def test_units_of_two_parts_are_no_more_than_those_of_the_whole() -> None:
    a, b = symbols("a b")

    def claims() -> list[Bool]:
        of: Any = units.units
        return [of(a) + of(b) <= of(a + b)]

    assert prove(claims, [a >= 0, b >= 0, a + b <= units.COST_PER_UNIT * (2**64 - 1)])


CAPS = units.PayCaps(1_000_003, 500, 100, 2_000, 2_500)


def test_splitting_a_provider_gains_nothing_under_bond_and_capacity(monkeypatch: pytest.MonkeyPatch) -> None:
    merge_choices(monkeypatch)
    names = "attested_a attested_b bond_a bond_b capacity_a capacity_b clean"
    attested_a, attested_b, bond_a, bond_b, capacity_a, capacity_b, clean = symbols(names)

    def claims() -> list[Bool]:
        def paid(attested: Any, bond: Any, capacity: Any) -> Any:
            return units.rewarded(attested, units.bond_cap(CAPS, bond, capacity, cast(int, clean)), capacity, PPM // 2)

        parts = paid(attested_a, bond_a, capacity_a) + paid(attested_b, bond_b, capacity_b)
        return [parts <= paid(attested_a + attested_b, bond_a + bond_b, capacity_a + capacity_b)]

    amounts = [bound for value in symbols(names)[:-1] for bound in (value >= 0, value <= 2**100)]
    assert prove(claims, [*amounts, clean >= 0])


def test_dividing_ones_clients_over_two_identities_gains_nothing() -> None:
    clients = symbols("a b c")

    def claims() -> list[Bool]:
        of: Any = lambda listed: units.client_capped(listed, 2_500)  # noqa: E731
        return [of(clients[:1]) + of(clients[1:]) <= of(clients)]

    assert prove(claims, [bound for value in clients for bound in (value >= 0, value <= 2**100)]) > 1


def by_contract(total: Any, weights: Sequence[Any]) -> list[Any]:
    """What the proofs above say of `largest_remainder`, and nothing more: exact sum, parts from zero to their weight.

    For a total that is no more than the weights together; the role weights' code asks for no other.
    """
    run_parts = [Int(z3.FreshInt("part")) for _ in weights]
    whole: Any = sum(weights)
    if whole == 0:
        return [0] * len(weights)
    assert total <= whole, "more to give than room"
    for part, weight in zip(run_parts, weights, strict=True):
        assume(part >= 0, part <= weight)
    assume(cast(Bool, sum(run_parts) == total))
    return run_parts


def test_fitted_weights_add_up_to_one_inside_their_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review, "largest_remainder", by_contract)
    merge_choices(monkeypatch)
    target, lower, upper = symbols("ta tb tc td te"), symbols("la lb lc ld le"), symbols("ua ub uc ud ue")

    def claims() -> list[Bool]:
        fitted: Any = review.fit(ints(target), ints(lower), ints(upper))
        assert fitted is not None
        inside = [
            claim
            for value, low, high in zip(fitted, lower, upper, strict=True)
            for claim in (low <= value, value <= high)
        ]
        return [sum(fitted) == PPM, *inside]

    ordered = [claim for low, high in zip(lower, upper, strict=True) for claim in (low >= 0, low <= high)]
    assert prove(claims, [*ordered, cast(Bool, sum(lower) <= PPM), cast(Bool, sum(upper) >= PPM)])


def test_role_weights_stay_inside_floors_ceilings_and_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review, "largest_remainder", by_contract)
    merge_choices(monkeypatch)
    weights, target = parts_of(Int(z3.IntVal(PPM)), "wa wb wc wd"), symbols("ta tb tc td")
    floors, ceilings = symbols("fa fb fc fd"), symbols("ca cb cc cd")
    max_step = symbols("max_step")[0]
    rows = list(zip(weights, floors, ceilings, strict=True))

    def claims() -> list[Bool]:
        roles: Any = [review.RoleState(number, *row) for number, row in enumerate(rows)]  # type: ignore[arg-type]
        following: Any = review._step(roles, ints(target), cast(int, max_step))
        each = [
            claim
            for after, (before, floor, ceiling) in zip(following, rows, strict=True)
            for claim in (after >= floor, after <= ceiling, after - before <= max_step, before - after <= max_step)
        ]
        return [sum(following) == PPM, *each]

    inside = [
        claim
        for weight, floor, ceiling in rows
        for claim in (floor >= 0, weight >= floor, weight <= ceiling, ceiling <= PPM)
    ]
    assert prove(claims, [*inside, max_step >= 0])


def test_steps_hold_even_where_the_weights_in_force_break_their_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review, "largest_remainder", by_contract)
    merge_choices(monkeypatch)
    weights, target = parts_of(Int(z3.IntVal(PPM)), "wa wb wc"), symbols("ta tb tc")
    floors, ceilings, max_step = symbols("fa fb fc"), symbols("ca cb cc"), symbols("max_step")[0]

    def claims() -> list[Bool]:
        rows = zip(weights, floors, ceilings, strict=True)
        roles: Any = [review.RoleState(number, *row) for number, row in enumerate(rows)]  # type: ignore[arg-type]
        following: Any = review._step(roles, ints(target), cast(int, max_step))
        steps = [
            claim
            for after, before in zip(following, weights, strict=True)
            for claim in (after - before <= max_step, before - after <= max_step)
        ]
        return [sum(following) == PPM, *steps]

    assert prove(claims, [*(weight >= 0 for weight in weights), max_step >= 0])


@pytest.mark.parametrize("epoch", [0, 99, 100, 1_270, 20_000])
def test_emission_never_passes_the_cap_and_never_the_schedule(epoch: int) -> None:
    initial, cap, issuance, pot = symbols("initial cap issuance pot")

    def claims() -> list[Bool]:
        schedule: Any = emission.Schedule(initial, 100, cap)  # type: ignore[arg-type]
        drawn: Any = emission.draw(schedule, epoch, cast(int, issuance), cast(int, pot))
        granted: Any = emission.scheduled(schedule, epoch)
        return [issuance + drawn.mint <= cap, drawn.spend <= pot, drawn.pool <= granted, drawn.mint >= 0]

    assert prove(claims, [*natural(initial, cap, issuance, pot), issuance <= cap])


def test_slashes_of_a_day_stay_below_their_limits() -> None:
    bond, first, second = symbols("bond first second")
    caps = SlashCaps()

    def claims() -> list[Bool]:
        taken: Any
        again: Any
        taken, record = Slashed().take(caps, 5, cast(int, bond), cast(int, first))
        again, _ = record.take(caps, 5, cast(int, bond - taken), cast(int, second))
        day, incident = bond * caps.day_bps, bond * caps.incident_bps
        return [(taken + again) * 10_000 <= day, taken * 10_000 <= incident, taken <= first, again <= second]

    assert prove(claims, [*natural(bond, first, second)])


def test_smoothing_stays_between_its_samples_and_always_moves() -> None:
    previous, sample = symbols("previous sample")

    def claims() -> list[Bool]:
        after: Any = smooth(cast(int, previous), cast(int, sample), 8)
        between = Bool(
            z3.Or(
                z3.And(previous.expression <= after.expression, after.expression <= sample.expression),
                z3.And(previous.expression >= after.expression, after.expression >= sample.expression),
            )
        )
        moves = Bool(z3.Or(previous.expression == sample.expression, after.expression != previous.expression))
        return [between, moves]

    assert prove(claims, natural(previous, sample)) > 1


def test_a_false_claim_is_not_proved() -> None:
    a, b = symbols("a b")
    with pytest.raises(AssertionError, match="claim 0"):
        prove(lambda: [Bool((a // 3 + b // 3 == (a + b) // 3).expression)], natural(a, b))

"""Runs plain integer functions on symbols: every path through the code as written, with the conditions that lead there.

A function is called again and again with `Int` arguments. Where it branches on a symbol (an `if`, a sort, a slice), the
comparison asks the solver which sides are possible, takes one and leaves the other for a later run. What a path returns
is then a formula over the arguments, and a claim about it is proved for all integers at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import z3

# In the solver's own steps, some millions a second: a slow machine takes longer, but finds the same.
_FEASIBLE_EFFORT = 1_000_000
_PROOF_EFFORT = 100_000_000


@dataclass
class _Run:
    """One run of the function: decisions to follow, then to make; all conditions so far."""

    decisions: list[bool]
    conditions: list[Any]
    solver: Any
    open_alternatives: list[list[bool]] = field(default_factory=list)
    taken: list[bool] = field(default_factory=list)
    divisors: list[Any] = field(default_factory=list)

    def assume(self, condition: Any) -> None:
        self.conditions.append(condition)
        self.solver.add(condition)

    def scale(self, difference: Any) -> None:
        """A truth about integers that solvers of products seldom find: what is at least one is, times d, at least d.

        Not said of remainders: they are compared with each other, never with quotients.
        """
        if any(name.startswith("remainder") for name in _names(difference)):
            return
        for divisor in self.divisors:
            product = z3.simplify(difference * divisor, som=True)
            self.assume(z3.Implies(difference >= 1, product >= divisor))
            self.assume(z3.Implies(difference <= -1, product <= -divisor))

    def decide(self, condition: Any) -> bool:
        condition = z3.simplify(condition)
        if z3.is_true(condition) or z3.is_false(condition):
            return z3.is_true(condition)
        position = len(self.taken)
        if position < len(self.decisions):
            choice = self.decisions[position]
        else:
            choice = self._possible(condition)
            if choice and self._possible(z3.Not(condition)):
                self.open_alternatives.append([*self.taken, False])
        self.taken.append(choice)
        self.assume(condition if choice else z3.Not(condition))
        return choice

    def _possible(self, condition: Any) -> bool:
        # What the solver cannot refute counts as possible: more paths, never fewer.
        return bool(self.solver.check(condition) != z3.unsat)


_run: _Run | None = None


def _current() -> _Run:
    assert _run is not None, "symbols live only inside `paths`"
    return _run


def _expression(value: Any) -> Any:
    return value.expression if isinstance(value, Int) else z3.IntVal(int(value))


class Bool:
    """A comparison of symbols; using it as a condition chooses a path."""

    def __init__(self, expression: Any) -> None:
        self.expression = expression

    def __bool__(self) -> bool:
        return _current().decide(self.expression)

    def __radd__(self, other: int) -> int:
        return other + int(bool(self))


class Int:
    """A symbol for an integer, or an expression over symbols. Division is Python's, by positive divisors."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, expression: Any) -> None:
        self.expression = expression

    def __add__(self, other: Any) -> Int:
        return Int(self.expression + _expression(other))

    def __sub__(self, other: Any) -> Int:
        return Int(self.expression - _expression(other))

    def __rsub__(self, other: Any) -> Int:
        return Int(_expression(other) - self.expression)

    def __mul__(self, other: Any) -> Int:
        # Sums are multiplied out, so that equal products are equal terms.
        return Int(z3.simplify(self.expression * _expression(other), som=True))

    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self) -> Int:
        return Int(-self.expression)

    def __abs__(self) -> Int:
        return self if self >= 0 else -self

    def __divmod__(self, other: Any) -> tuple[Int, Int]:
        run = _current()
        divisor = z3.simplify(_expression(other))
        assert run.decide(divisor > 0), "division by what may not be positive"
        quotient, remainder = Int(z3.FreshInt("quotient")), Int(z3.FreshInt("remainder"))
        product = quotient * Int(divisor)
        run.assume(product.expression + remainder.expression == z3.simplify(self.expression, som=True))
        run.assume(z3.And(remainder.expression >= 0, remainder.expression < divisor))
        if not z3.is_int_value(divisor) and not any(divisor.eq(known) for known in run.divisors):
            run.divisors.append(divisor)
        return quotient, remainder

    def __floordiv__(self, other: Any) -> Int:
        return divmod(self, other)[0]

    def __mod__(self, other: Any) -> Int:
        return divmod(self, other)[1]

    def __rshift__(self, places: int) -> Int:
        return self // (1 << places)

    def __lt__(self, other: Any) -> Bool:
        return self._compared(other, lambda difference: difference < 0)

    def __le__(self, other: Any) -> Bool:
        return self._compared(other, lambda difference: difference <= 0)

    def __gt__(self, other: Any) -> Bool:
        return self._compared(other, lambda difference: difference > 0)

    def __ge__(self, other: Any) -> Bool:
        return self._compared(other, lambda difference: difference >= 0)

    def __eq__(self, other: object) -> Bool:  # type: ignore[override]
        return self._compared(other, lambda difference: difference == 0)

    def __ne__(self, other: object) -> Bool:  # type: ignore[override]
        return self._compared(other, lambda difference: difference != 0)

    def _compared(self, other: Any, with_zero: Callable[[Any], Any]) -> Bool:
        difference = z3.simplify(self.expression - _expression(other), som=True)
        if _run is not None:
            _run.scale(difference)
        return Bool(with_zero(difference))

    def __bool__(self) -> bool:
        return bool(self != 0)

    def __index__(self) -> int:
        """A slice needs a number: one path for each of the small ones."""
        for value in range(8):
            if self == value:
                return value
        raise AssertionError("a slice by more than the few elements that a proof is about")


def assume(*claims: Bool) -> None:
    """Takes claims for granted from here on: what another proof has shown of a part that is left out."""
    for claim in claims:
        _current().assume(claim.expression)


def natural_product(a: Int, b: Int) -> None:
    """Reminds the solver that the product of two naturals is one: true of all integers, so nothing is assumed."""
    assume(Bool(z3.Implies(z3.And(a.expression >= 0, b.expression >= 0), (a * b).expression >= 0)))


def least(*values: Any) -> Any:
    """`min` as a formula instead of a fork, where a proof would otherwise have too many paths."""
    return _choose(values, lambda a, b: a <= b) if any(isinstance(value, Int) for value in values) else min(values)


def greatest(*values: Any) -> Any:
    """`max`, likewise."""
    return _choose(values, lambda a, b: a >= b) if any(isinstance(value, Int) for value in values) else max(values)


def _choose(values: tuple[Any, ...], better: Callable[[Any, Any], Any]) -> Int:
    best, *others = map(_expression, values)
    for other in others:
        best = z3.If(better(best, other), best, other)
    return Int(best)


def symbols(names: str) -> list[Int]:
    """One symbol per word of `names`."""
    return [Int(z3.Int(name)) for name in names.split()]


def paths(function: Callable[[], Any], given: list[Bool]) -> Iterator[tuple[list[Any], Any]]:
    """All paths of `function` under the assumptions `given`: (conditions, result)."""
    global _run
    waiting: list[list[bool]] = [[]]
    while waiting:
        solver = _linear_solver()
        run = _Run(waiting.pop(), [], solver)
        for assumption in given:
            run.assume(assumption.expression)
        _run = run
        try:
            result = function()
        finally:
            _run = None
        waiting += run.open_alternatives
        yield run.conditions, result


def prove(function: Callable[[], list[Any]], given: list[Bool]) -> int:
    """Proves every claim that `function` returns, on every path; gives the number of paths.

    Raises AssertionError with a counterexample, or if the solver cannot tell.
    """
    count = 0
    for conditions, claims in paths(function, given):
        count += 1
        formulas = [claim.expression if isinstance(claim, Bool) else z3.BoolVal(claim) for claim in claims]
        for number, formula in enumerate(formulas):
            if _refuted(_linear_solver(), conditions, formula):
                continue
            solver = z3.Solver()
            solver.set("rlimit", _PROOF_EFFORT)
            if not _refuted(solver, conditions, formula):
                found = solver.model() if solver.check() == z3.sat else solver.reason_unknown()
                raise AssertionError(f"claim {number} on path {count}: {found}")
    return count


def _names(expression: Any) -> Iterator[str]:
    if z3.is_const(expression):
        yield expression.decl().name()
    for child in expression.children():
        yield from _names(child)


def _linear_solver() -> Any:
    """A solver that reads each product as a number of its own: quick, and what it refutes is refuted."""
    solver = z3.Solver()
    solver.set("arith.nl", False)
    solver.set("rlimit", _FEASIBLE_EFFORT)
    return solver


def _refuted(solver: Any, conditions: list[Any], formula: Any) -> bool:
    solver.add(*conditions, z3.Not(formula))
    return bool(solver.check() == z3.unsat)

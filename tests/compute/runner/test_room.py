"""The line for cache room: first come, first served, and clients share while it is scarce."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from compute.runner.room import Asker, RoomQueue

BUDGET = 100


@dataclass
class Room:
    """A budget, what each client holds of it, and the order in which steps got room."""

    held: dict[str, int] = field(default_factory=dict)
    served: list[str] = field(default_factory=list)
    askers: dict[str, Asker] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.queue = RoomQueue(BUDGET, lambda: {client: n for client, n in self.held.items() if n})

    def ask(self, name: str, client: str, n_bytes: int) -> None:
        def attempt() -> bool:
            if sum(self.held.values()) + n_bytes > BUDGET:
                return False
            self.held[client] = self.held.get(client, 0) + n_bytes
            self.served.append(name)
            return True

        self.askers[name] = Asker(client, n_bytes, attempt, self.loop.create_future())
        self.queue.ask(self.askers[name])

    def free(self, client: str, n_bytes: int) -> None:
        self.held[client] -= n_bytes
        self.queue.serve()

    def close(self) -> None:
        self.loop.close()


def test_what_fits_is_served_at_once_and_then_in_order() -> None:
    room = Room()
    room.ask("first", "a", 80)
    room.ask("large", "a", 60)
    room.ask("small", "a", 5)
    assert room.served == ["first"], "the small one fits, and waits its turn"
    room.free("a", 80)
    assert room.served == ["first", "large", "small"]
    room.close()


def test_who_leaves_lets_the_next_one_go() -> None:
    room = Room()
    room.ask("first", "a", 80)
    room.ask("large", "a", 60)
    room.ask("small", "a", 5)
    room.askers["large"].turn.cancel()
    room.queue.leave(room.askers["large"])
    assert room.served == ["first", "small"]
    room.close()


def test_one_who_has_gone_is_passed_over_and_takes_nothing() -> None:
    room = Room()
    room.ask("first", "a", 80)
    room.ask("large", "a", 60)
    room.ask("small", "a", 5)
    room.askers["large"].turn.cancel()
    room.queue.serve()
    assert room.served == ["first", "small"]
    room.close()


def test_a_client_over_its_share_waits_for_those_below_theirs() -> None:
    room = Room()
    room.ask("a1", "a", 70)
    room.ask("a2", "a", 40)
    room.ask("b1", "b", 45)
    room.free("a", 20)
    assert room.served == ["a1", "b1"], "with two clients each may have 50"
    room.free("b", 45)
    assert room.served == ["a1", "b1", "a2"]
    room.close()


def test_a_first_step_for_all_of_the_budget_waits_for_others_too() -> None:
    room = Room()
    room.ask("c1", "c", 30)
    room.ask("a1", "a", 95)
    room.ask("b1", "b", 33)
    assert room.served == ["c1", "b1"]
    room.close()


def test_a_client_alone_may_fill_the_budget() -> None:
    room = Room()
    room.ask("a1", "a", 60)
    room.ask("a2", "a", 40)
    assert room.served == ["a1", "a2"]
    room.close()


def test_only_a_client_below_its_share_has_a_claim_on_room_that_another_has_too_much_of() -> None:
    room = Room({"greedy": 80, "modest": 20})
    assert room.queue.may_ask("modest")
    assert room.queue.may_ask("new")
    assert not room.queue.may_ask("greedy")
    room.held = {"a": 50, "b": 50}
    assert not room.queue.may_ask("a")
    room.close()


@settings(max_examples=200, deadline=None)
@given(
    events=st.lists(
        st.one_of(
            st.tuples(st.just("ask"), st.sampled_from("abc"), st.integers(1, 60)),
            st.tuples(st.just("free"), st.sampled_from("abc"), st.integers(1, 60)),
        ),
        max_size=40,
    )
)
def test_within_a_client_the_order_is_that_of_arrival_and_everybody_is_served_in_the_end(
    events: list[tuple[str, str, int]],
) -> None:
    room = Room()
    asked: dict[str, list[str]] = {client: [] for client in "abc"}
    for number, (what, client, n_bytes) in enumerate(events):
        if what == "ask":
            asked[client].append(f"{client}{number}")
            room.ask(f"{client}{number}", client, min(n_bytes, BUDGET))
        elif client in room.held:
            room.free(client, min(n_bytes, room.held[client]))
        assert sum(room.held.values()) <= BUDGET
    for _ in range(len(events) + 1):
        for client in list(room.held):
            room.free(client, room.held[client])
    for client, names in asked.items():
        assert [name for name in room.served if name[0] == client] == names
    room.close()

"""The rules of csrc/fw_baton.h as a small model, searched for every order in which things can happen.

Players, the monitor and clients take steps in any order; a step is what they do between two words that others
may change. In every state that can be reached one thread has the loop, nobody touches a connection together
with its owner, and the end can be reached: all requests answered, everybody gone. A state from which that is
impossible is a lost wake-up, a request that is never served, or a shutdown that hangs. The understudy passes
what is ready to another worker, or it comes back. Rules that are broken on purpose have to be found.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

OURS, OFFERED, TAKEN = "ours", "offered", "taken"
HOLDS = ("hold", "sleep", "taken", "part", "finish")
SOUND = ""


@dataclass(frozen=True)
class Player:
    at: str
    conn: int = -1
    other: int = -1
    """Whose connection it sees to, having taken the loop from it."""
    away: bool = False
    called: bool = False


@dataclass(frozen=True)
class State:
    hand: tuple[int, str]
    players: tuple[Player, ...]
    conns: tuple[tuple[str, int], ...]
    """Where each is, and how many requests are to come."""
    monitor: str = "watch"
    heir: int = -1
    wanted: bool = False
    wake: bool = False
    spares: frozenset[int] = frozenset()
    returned: frozenset[int] = frozenset()
    ended: bool = False

    def player(self, index: int, **changes: object) -> "State":
        changed = replace(self.players[index], **changes)  # type: ignore[arg-type]
        return replace(self, players=(*self.players[:index], changed, *self.players[index + 1 :]))

    def conn(self, index: int, at: str, left: int) -> "State":
        return replace(self, conns=(*self.conns[:index], (at, left), *self.conns[index + 1 :]))

    def answered(self, index: int) -> "State":
        left = self.conns[index][1] - 1
        return self.conn(index, "quiet" if left else "done", left)

    def collected(self) -> "State":
        state = self
        for index in self.returned:
            state = state.answered(self.players[index].conn)
        return replace(state, returned=frozenset())

    def all_done(self) -> bool:
        return all(at in ("done", "passed") for at, _ in self.conns)


def first(players: int, conns: int, requests: int) -> State:
    waiting = [Player("spare") for _ in range(players - 1)]
    return State(
        hand=(0, OURS),
        players=(Player("hold"), *waiting),
        conns=(("quiet", requests),) * conns,
        spares=frozenset(range(1, players)),
    )


def steps(state: State, broken: str) -> Iterator[State]:
    for index, (at, left) in enumerate(state.conns):
        if at == "quiet":
            yield state.conn(index, "ready", left)
        elif at == "passed":  # a sibling answers all that is to come
            yield state.conn(index, "done", 0)
    yield from monitor_steps(state, broken)
    for index, player in enumerate(state.players):
        yield from player_steps(state, index, player, broken)


def monitor_steps(state: State, broken: str) -> Iterator[State]:
    owner, what = state.hand
    if state.monitor == "watch" and what == OFFERED:
        yield replace(state, hand=(owner, TAKEN), monitor="mind", wanted=False)
    elif state.monitor == "mind":
        now = state.collected()
        for index, (at, left) in enumerate(now.conns):
            if at == "ready" or (at == "served" and broken == "what is served is passed"):
                yield now.conn(index, "passed", left)
        if now.spares:
            for heir in now.spares:
                yield replace(now, spares=now.spares - {heir}, monitor="part", heir=heir)
        elif now.wanted:
            yield replace(now, hand=(owner, OURS), monitor="watch", wanted=False)
        else:
            yield replace(now, monitor="sleep")
    elif state.monitor == "sleep" and state.wake:
        yield replace(state, monitor="mind", wake=False)
    elif state.monitor == "part":
        heir = state.heir
        after = state.player(owner, away=True).player(heir, called=True)
        yield replace(after, hand=(heir, OURS), monitor="watch", heir=-1)


def player_steps(state: State, me: int, player: Player, broken: str) -> Iterator[State]:
    owner, what = state.hand
    if player.at == "spare" and player.called:
        yield state.player(me, at="gone" if state.ended else "hold", called=False)
    elif player.at == "hold":
        now = state.collected()
        ready = [index for index, (at, _) in enumerate(now.conns) if at == "ready"]
        for index in ready:
            yield now.conn(index, "served", now.conns[index][1]).player(me, at="taken", conn=index)
        for index, (at, left) in enumerate(now.conns):
            if at == "passed":  # nobody has taken it yet: it is received here
                yield now.conn(index, "ready", left)
        if now.all_done():
            after = replace(now.player(me, at="gone"), ended=True, spares=frozenset())
            for spare in now.spares if broken != "nobody is told of the end" else ():
                after = after.player(spare, called=True)
            yield after
        elif not ready:
            yield now.player(me, at="sleep")
    elif player.at == "sleep":
        if state.wake or any(at == "ready" for at, _ in state.conns):
            yield replace(state, wake=False).player(me, at="hold")
    elif player.at == "taken":
        yield replace(state, hand=(me, OFFERED)).player(me, at="call")
        for spare in state.spares:  # fw_baton_pass()
            after = replace(state, hand=(spare, OURS), spares=state.spares - {spare})
            yield after.player(me, at="call", away=True).player(spare, called=True)
    elif player.at == "call":
        yield state.player(me, at="settle")
    elif player.at in ("settle", "asking"):
        yield from settle(state, me, player, broken)
    elif player.at == "finish":
        yield state.answered(player.conn).player(me, at="hold", conn=-1)
    elif player.at == "away":
        yield state.player(me, at="return")
    elif player.at == "return":
        after = replace(state, returned=state.returned | {me}).player(me, away=False)
        if what == OFFERED or (broken == "the loop is taken from a holder" and what == OURS):
            yield replace(after, hand=(me, OURS)).player(me, at="part", other=owner)
        elif state.ended:
            yield after.player(me, at="gone")
        else:
            yield replace(after, spares=state.spares | {me}).player(
                me, at="spare" if broken == "nobody is woken" else "wakes"
            )
    elif player.at == "wakes":
        yield replace(state, wake=True).player(me, at="spare")
    elif player.at == "part":
        yield state.player(player.other, away=True).player(me, at="hold", other=-1)


def settle(state: State, me: int, player: Player, broken: str) -> Iterator[State]:
    if state.hand in ((me, OURS), (me, OFFERED)):
        yield replace(state, hand=(me, OURS)).player(me, at="finish")
    elif state.hand == (me, TAKEN):
        if broken == "a player does not wait for the understudy":
            yield state.player(me, at="finish")
        elif player.at == "settle":
            wake = broken != "the understudy is not woken"
            yield replace(state, wanted=True, wake=state.wake or wake).player(me, at="asking")
    elif player.away or broken == "a player does not wait to be away":
        yield state.player(me, at="away")


def problem(state: State) -> str:
    holders = [index for index, player in enumerate(state.players) if player.at in HOLDS]
    # a spare player that was called has it as well
    holders += [i for i, player in enumerate(state.players) if player.called and not state.ended]
    if len(holders) + (state.monitor != "watch") > 1:
        return f"two have the loop: {holders}, {state.monitor}"
    seen_to = {player.other for player in state.players} - {-1}
    if state.monitor == "part":
        seen_to.add(state.hand[0])
    for index in seen_to:
        if state.players[index].at in ("away", "finish", "return"):
            return f"two have the connection of {index}"
    served = [
        player.conn for player in state.players if player.at in ("taken", "call", "settle", "asking", "away")
    ]
    if len(served) != len(set(served)):
        return f"a connection has two owners: {served}"
    if any(state.conns[index][0] != "served" for index in served):
        return f"what is served is somebody else's: {served}"
    return ""


def search(players: int, conns: int, requests: int, broken: str = SOUND) -> tuple[int, str]:
    """How many states can be reached, and what is wrong in one of them or "" ."""
    start = first(players, conns, requests)
    before: dict[State, list[State]] = {start: []}
    todo = [start]
    finished = []
    while todo:
        state = todo.pop()
        if wrong := problem(state):
            return len(before), wrong
        if state.ended and all(player.at == "gone" for player in state.players):
            finished.append(state)
        for after in steps(state, broken):
            if after not in before:
                before[after] = []
                todo.append(after)
            before[after].append(state)
    ends_well = set(finished)
    while finished:
        for earlier in before[finished.pop()]:
            if earlier not in ends_well:
                ends_well.add(earlier)
                finished.append(earlier)
    lost = next((state for state in before if state not in ends_well), None)
    return len(before), f"the end cannot be reached from {lost}" if lost else ""


@pytest.mark.parametrize(
    ("players", "conns", "requests"), [(1, 2, 2), (2, 2, 2), (2, 3, 1), (3, 2, 1), (3, 3, 1)]
)
def test_every_order_ends_well(players: int, conns: int, requests: int) -> None:
    states, wrong = search(players, conns, requests)
    assert wrong == ""
    assert states > 50


@pytest.mark.parametrize(
    "broken",
    [
        "nobody is woken",
        "nobody is told of the end",
        "the understudy is not woken",
        "a player does not wait for the understudy",
        "a player does not wait to be away",
        "the loop is taken from a holder",
        "what is served is passed",
    ],
)
def test_a_broken_rule_is_found(broken: str) -> None:
    assert any(search(players, 2, 2, broken)[1] for players in (1, 2))

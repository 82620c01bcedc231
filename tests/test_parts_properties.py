"""What a book has beside its ledger, and its plain oracles, driven side by side through random groups.

What must hold after every group: both have the same catalog, network, load of each location and day, rejections and
levels that wait to be counted; what may be asked for is kept as it was told; a replay and a book out of a snapshot have
the same digest; and the book itself finds nothing that does not add up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from ledger_cases import (
    MINUTE_US,
    NOW_US,
    SECOND_US,
    Command,
    amend,
    batch_of,
    cancel,
    change_catalog,
    commit,
    extend,
    fulfill,
    receive,
    record,
    release,
    replace_hold,
    reserve,
    set_on_hand,
    transfer,
    uuid4,
)
from test_parts import Image

from ledger.book import Book
from ledger.core.ids import slot_part
from ledger.core.records import IS_WRITTEN
from ledger.core.statuses import Operation, Status
from ledger.journal.entry import CHAIN_START, decode_entry, encode_entry
from ledger.oracle.catalog import OracleCatalog
from ledger.oracle.plans import DAY_US, Booked, OraclePlans, Plan
from ledger.oracle.references import OracleReferences
from ledger.oracle.stock import OracleLedger
from ledger.oracle.views import OracleViews, Routed
from ledger.parts.planned import BOOKING, PlannedOrders, RefusedCall, Rejection
from ledger.parts.registry import KINDS
from ledger.parts.resources import (
    CatalogChange,
    Location,
    LocationRouting,
    NetworkVersion,
    RoutingNetwork,
    Sku,
    succeed,
)

SEED_COUNT, GROUP_COUNT = (60, 400) if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else (6, 70)
SKUS, LOCATIONS, ORDERS = range(3), range(3), ("", "", "one", "two")
REFERENCES, ACTORS = ("cart-1", "cart-2", "order-1", "order-2"), ("", "till-1")
LEVELS = [(sku, location) for sku in SKUS for location in LOCATIONS]
TIMES = {"request_window_us": 2 * MINUTE_US, "retention_us": MINUTE_US}
OF_A_HOLD = (commit, release, fulfill, cancel)
DAYS_AHEAD_MAX = 3
FOR_EVER_US = 2**60

Level = tuple[int, int]


def day_of(location: int, now_us: int) -> int:
    """On which day what comes to a location now would leave; whoever routes knows better."""
    return now_us // DAY_US + location


ORACLES = {
    "network": OracleCatalog,
    "catalog": OracleCatalog,
    "views": OracleViews,
    "plans": OraclePlans,
    "rejections": OraclePlans,
    "refusals": OraclePlans,
    "references": OracleReferences,
}


class Pair:
    """A book with its replay, the oracles, and the numbers by which each names the same reservations."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.now_us = NOW_US
        self.book, self.copy = Book(**TIMES), Book(**TIMES)
        self.ledger = OracleLedger(request_window_us=TIMES["request_window_us"], retention_us=FOR_EVER_US)
        self.catalog = OracleCatalog()
        self.plans = OraclePlans(self.ledger, **TIMES)
        self.references = OracleReferences()
        self.views = OracleViews(self.catalog)
        self.views_compared = 0
        self.holds: list[tuple[int, int]] = []
        """(of the book, of the oracle) of all reservations, the last ones last."""
        self.chain = CHAIN_START
        self._id_count = 0

    def new_id(self) -> int | None:
        self._id_count += 1
        return uuid4(self._id_count) if self.chance.random() < 0.7 else None

    def known(self) -> list[tuple[int, int]]:
        """Some reservations that can be read; when they are forgotten is the ledger's own affair."""
        return [hold for hold in self.holds[-8:] if self.book.ledger.has_reservation(hold[0])]

    # ---- the ledger --------------------------------------------------------------------------------------------------

    def run(self, command: Command, hold: tuple[int, int] = (0, 0)) -> Any:
        """Run a command at both; returns the book's outcome."""
        batches = [batch_of([replace(command, reservation_id=number)]) for number in hold]
        outcome = self.book.execute(batches[0], self.now_us).outcomes[0]
        expected = self.ledger.execute(batches[1], self.now_us).outcomes[0]
        self.ledger.seq = self.book.seq  # what the book says beside its ledger has seqs of its own
        names = ["status", "version", "state"]
        assert outcome[names] == expected[names], command
        self._note(outcome, command.operation)
        if command.operation == Operation.RESERVE and outcome["status"] == Status.OK:
            self.holds.append((int(outcome["reservation_id"]), int(expected["reservation_id"])))
        if command.operation == Operation.SET_ON_HAND and outcome["status"] == Status.OK and not command.flags:
            self.plans.count((line.sku, line.location) for line in command.lines)
        return outcome

    def _note(self, outcome: Any, operation: int) -> None:
        """Say something of most writes: for what, and by whom."""
        reference, actor = self.chance.choice(("", *REFERENCES)), self.chance.choice(ACTORS)
        if not outcome["flags"] & IS_WRITTEN or not (reference or actor):
            return
        self.book.note(int(outcome["seq"]), reference, actor)
        if outcome["status"] == Status.OK and operation == Operation.RESERVE:
            self.references.make(int(outcome["reservation_id"]), reference, actor)
        if outcome["status"] == Status.OK and operation == Operation.COMMIT and reference:
            self.references.commit(int(outcome["reservation_id"]), reference)

    def change(self) -> None:
        """Change a hold, planned or not; what came elsewhere takes capacity there."""
        known = self.known()
        if not known:
            return
        chance, hold = self.chance, self.chance.choice(known)
        sku, location = chance.choice(LEVELS)
        lines = chance.choice(([], [(sku, location, chance.randint(1, 3))]))
        commands = (
            *(make(0, lines) for make in OF_A_HOLD),
            amend(0, [(sku, location, chance.randint(0, 6))]),
            amend(0, [(sku, location, chance.randint(0, 3)), ((sku + 1) % 3, location, chance.randint(0, 3))]),
            transfer(0, location, (location + 1) % 3),
            extend(0, ttl_us=chance.choice((SECOND_US, MINUTE_US))),
            replace_hold(0, [(sku, location, chance.randint(1, 6))], ttl_us=chance.choice((SECOND_US, MINUTE_US))),
        )
        command = chance.choice(commands)
        outcome = self.run(command, hold)
        if hold[1] in self.plans.planned and outcome["status"] == Status.OK:
            came = self.plans.units_that_came(hold[1])
            is_arrival = command.operation in {Operation.AMEND, Operation.TRANSFER, Operation.REPLACE}
            assert is_arrival or not came
            booked = [Booked(level, day_of(level[1], self.now_us), units) for level, units in came.items()]
            self.plans.follow(hold[1], booked)

    def expire(self) -> None:
        """Let holds end whose instant has come: both ledgers do at the first command."""
        self.run(set_on_hand([(0, 0, 99)], validate_only=True))
        for number in self.plans.planned:
            self.plans.follow(number)

    # ---- plans -------------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        self.book.settle_plans(lambda location: day_of(location, self.now_us))

    def plan(self) -> None:
        """Plan some orders in one step, or one that has a hold, planned or not."""
        self.settle()
        known = self.known()
        if known and self.chance.random() < 0.4:
            step = self._planned(self.chance.choice(known))
            if step:
                self._keep([step])
            return
        steps = [step for step in (self._planned() for _ in range(self.chance.randint(1, 3))) if step]
        if steps:
            self._keep(steps)

    def _planned(self, held: tuple[int, int] = (0, 0)) -> dict[str, Any] | None:
        """Hold what one order gets, or remember that it gets nothing; a hold that there is becomes the plan's."""
        chance, request_id, order = self.chance, self.new_id(), self.chance.choice(ORDERS)
        wanted = {level: chance.randint(1, 4) for level in chance.sample(LEVELS, chance.randint(1, 2))}
        rejected = {level for level, _ in self.plans.rejected(order, self.now_us)}
        lines = [(*level, units) for level, units in wanted.items() if level not in rejected]
        ttl_us = chance.choice((2 * SECOND_US, MINUTE_US, 10 * MINUTE_US))
        if lines:
            make = replace_hold if any(held) else reserve
            command = make(*([0] if any(held) else []), lines, ttl_us=ttl_us, request_id=request_id)
            outcome = self.run(command, held)
            if outcome["status"] != Status.OK:
                return None
        elif request_id is None:
            return None
        else:
            outcome = self.run(change_catalog(request_id=request_id))
        today = self.now_us // DAY_US
        booked = [Booked((sku, at), today + chance.randint(0, DAYS_AHEAD_MAX), units) for sku, at, units in lines]
        hold = (held if any(held) else self.holds[-1]) if lines else (0, 0)
        answer = b"answer %d" % outcome["seq"]
        return {
            "seq": int(outcome["seq"]),
            "hold": hold,
            "order": order,
            "answer": answer,
            "booked": booked,
            "id": request_id,
        }

    def _keep(
        self, steps: Sequence[dict[str, Any]], rejections: Sequence[Rejection] = (), amended: bytes = b""
    ) -> None:
        """Keep a step's plans at both."""
        rows = [
            (place, 0, *each.level, each.day, 0, each.units)
            for place, step in enumerate(steps)
            for each in step["booked"]
        ]
        change = PlannedOrders(
            seqs=np.array([step["seq"] for step in steps], np.int64).tobytes(),
            reservation_ids=np.array([step["hold"][0] for step in steps], np.int64).tobytes(),
            remembered_seq=max([step["seq"] for step in steps if step["id"] is not None], default=0),
            references=[step["order"] for step in steps],
            bookings=np.array(rows, BOOKING).tobytes(),
            requests=[b"request"] * len(steps),
            responses=[step["answer"] for step in steps],
            seen=[b"seen"] * len(steps),
            view=self.book.view(steps[0]["seq"]),
            explained_max=4,
            rejections=tuple(rejections),
            amended=amended,
        )
        self.book.keep(steps[0]["seq"], change)
        for step in steps:
            number = 0 if amended else step["hold"][1]
            order = step["order"] or f"reservation {step['hold'][0]:016x}"
            kept = Plan(number, order, step["answer"], step["id"] is not None, self.now_us)
            self.plans.keep(step["seq"], kept, step["booked"])
            self.views.plan(step["seq"])

    def reject(self) -> None:
        """Let a location fill nothing of a planned hold, and another one all of it."""
        planned = [hold for hold in self.known() if hold[1] in self.plans.planned]
        hold = self.chance.choice(planned or [(0, 0)])
        view = self.ledger.reservation(hold[1])
        open_lines = [line for line in view.lines if line.open] if view else []
        if not open_lines or view is None:
            return
        line = self.chance.choice(open_lines)
        level, target = (line.sku, line.location), (line.sku, (line.location + 1) % 3)
        held = {(each.sku, each.location): each.open + each.fulfilled for each in view.lines}
        totals = [(*level, held[level] - line.open), (*target, held.get(target, 0) + line.open)]
        self.settle()
        request_id = self.new_id()
        outcome = self.run(amend(0, totals, request_id=request_id), hold)
        if outcome["status"] != Status.OK:
            return
        *_, last = (plan for plan in self.plans.plans.values() if plan.reservation_id == hold[1])
        order = "" if last.order.startswith("reservation") else last.order
        until_us = self.now_us + self.chance.choice((SECOND_US, MINUTE_US, DAY_US))
        booked = [Booked(target, self.now_us // DAY_US + 1, line.open)]
        step = {"seq": int(outcome["seq"]), "hold": hold, "order": order, "booked": booked, "id": request_id}
        self._keep([step | {"answer": b"again"}], [Rejection(*level, until_us)], b"amended")
        self.plans.follow(hold[1], booked)
        self.plans.reject(last.order, [level], until_us, self.now_us)

    def refuse(self) -> None:
        """Remember what a call was told."""
        request_id = self.new_id()
        if request_id is None:
            return
        outcome = self.run(change_catalog(status=Status.QUANTITY_EXCEEDS_OPEN, request_id=request_id))
        self.book.keep(int(outcome["seq"]), RefusedCall(int(outcome["seq"]), b"no"))
        self.plans.refuse(int(outcome["seq"]), b"no", self.now_us)

    # ---- the catalog -------------------------------------------------------------------------------------------------

    def write(self, *changes: CatalogChange) -> None:
        self.book.change_catalog(batch_of([change_catalog()]), changes, self.now_us)
        self.ledger.execute(batch_of([change_catalog()]), self.now_us)

    def write_catalog(self) -> None:
        """Write a sku or a location."""
        chance = self.chance
        if chance.random() < 0.5:
            sku = Sku(f"S{chance.choice(SKUS)}", "", "each", chance.choice((0, 5)), ())
            old = self.book.catalog.sku(sku.sku_id)
            self.catalog.skus.upsert({sku.sku_id: content_of(sku)}, self.now_us)
            if old is None or content_of(old) != content_of(sku):
                self.write(succeed(sku, old, self.now_us))
            return
        groups = tuple(chance.sample(("east", "west"), chance.randrange(3)))
        location = Location(
            f"L{chance.choice(LOCATIONS)}", 1, "", 1.0, 1.0, "UTC", (), active=True, location_groups=groups
        )
        before = self.book.catalog.location(location.location_id)
        self.catalog.locations.upsert({location.location_id: content_of(location)}, self.now_us)
        if before is None or content_of(before) != content_of(location):
            self.write(succeed(location, before, self.now_us))

    def write_network(self) -> None:
        """Write the network, or what it knows of a location."""
        content = self.chance.choice((None, None, b"one network", b"another network"))
        name = f"L{self.chance.choice(LOCATIONS)}"
        rows = {name: self.chance.choice((b"near", b"far"))}
        is_left = content is not None and self.chance.random() < 0.4
        before, known = self.catalog.network_version, dict(self.catalog.routing)
        version = self.catalog.write_network(content, rows, self.now_us, replaces=is_left)
        if version == before:
            return
        gone = [LocationRouting(each, b"") for each in known if is_left and each not in rows]
        changed = [LocationRouting(each, row) for each, row in rows.items() if known.get(each) != row]
        network = (
            NetworkVersion(version, self.now_us) if content is None else RoutingNetwork(content, version, self.now_us)
        )
        self.write(network, *gone, *changed)

    # ---- comparing ---------------------------------------------------------------------------------------------------

    def end_group(self) -> None:
        """End the group, replay it, and compare."""
        self.settle()
        entry = self.book.close_entry(epoch=1)
        if entry is not None:
            payload, chain = encode_entry(entry, self.chain)
            self.copy.replay(decode_entry(payload, self.chain)[0])
            self.chain = chain
        assert self.book.digest() == self.copy.digest()
        assert not [found for part in self.book.parts for found in part.verify()]
        self.compare_plans()
        self.compare_views()
        self.compare_catalog()
        self.compare_references()

    def compare_references(self) -> None:
        """Compare what is said of each reservation that can be read, and by what it is found."""
        found, ledger = self.book.references, self.book.ledger
        readable = {number for number, _ in self.holds if ledger.has_reservation(number)}
        for number in readable:
            said = found.of(number)
            assert (said.reference, said.actor, said.commit_reference) == self.references.of(number)
        for reference in REFERENCES:
            expected = self.references.found_by(reference) & readable
            slots = found.slots_of(reference)
            if slots is None:
                assert all(found.has(slot_part(number), reference) for number in expected)
            else:
                assert slots == sorted(set(slots))
                numbers = {ledger.reservation_id_at(slot) for slot in slots}
                assert {each for each in numbers if reference in found.of(each).references} == expected

    def compare_plans(self) -> None:
        book, now_us = self.book, self.now_us
        assert {(at, day): units for at, day, units in book.plans.load.rows() if day >= now_us // DAY_US - 2} == (
            self.plans.load(now_us)
        )
        assert dict(book.rejections.suspects) == self.plans.suspects
        for order in self.plans.orders:
            found = [((one.sku, one.location), one.until_us) for one in book.rejections.of(order, now_us)]
            assert found == self.plans.rejected(order, now_us), order
        for seq, plan in self.plans.plans.items():
            kept = book.plans.plan(seq)
            if kept is not None or self.plans.must_be_kept(seq, now_us):
                assert kept is not None, seq
                assert kept.response == plan.answer
        for seq, (content, since_us) in self.plans.refusals.items():
            if since_us + TIMES["request_window_us"] > now_us:
                assert book.refusals._by_seq[seq].content == content

    def compare_views(self) -> None:
        """Compare what each plan that can be explained was routed over."""
        for seq in self.plans.plans:
            kept = self.book.plans.plan(seq)
            if kept is None or not kept.seen:
                continue
            network, located = self.book.views.routed(kept.view)
            places = {location.location_id: (known_as(location), routing.content) for location, routing in located}
            assert Routed(network.content, network.version, network.update_time_us, places) == self.views.of(seq), seq
            self.views_compared += 1

    def compare_catalog(self) -> None:
        catalog, network = self.book.catalog, self.book.network
        assert {one.sku_id: known_as(one) for one in catalog.skus} == plain(self.catalog.skus)
        assert {one.location_id: known_as(one) for one in catalog.locations} == plain(self.catalog.locations)
        for group in ("east", "west"):
            members = [catalog.locations[index].location_id for index in catalog.group_members(group)]
            assert members == self.catalog.locations.having("location_groups", group)
        current = network.current or RoutingNetwork(b"", 0, 0)
        assert (current.content, current.version, current.update_time_us) == (
            self.catalog.network,
            self.catalog.network_version,
            self.catalog.network_time_us,
        )
        assert {name: row.content for name, row in network.location_routing.items()} == self.catalog.routing

    def take_over(self) -> None:
        """Go on with a book out of a snapshot, or with the replay."""
        if self.chance.random() < 0.5:
            self.book, self.copy = self.copy, self.book
            return
        restored = Book(**TIMES)
        restored.restore(Image({name: bytes(part) for name, part in self.book.image().items()}))
        assert restored.digest() == self.book.digest()
        self.book = restored

    def begin(self) -> None:
        """What all of it stands on."""
        places = [a_location(at, ("east",)) for at in LOCATIONS]
        skus = [Sku(f"S{sku}", "", "each", 0, ()) for sku in SKUS]
        self.write(*(succeed(sku, None, self.now_us) for sku in skus))
        self.write(*(succeed(place, None, self.now_us) for place in places))
        self.catalog.skus.upsert({sku.sku_id: content_of(sku) for sku in skus}, self.now_us)
        self.catalog.locations.upsert({place.location_id: content_of(place) for place in places}, self.now_us)
        for sku in SKUS:
            self.ledger.define_sku(f"S{sku}")
        for at in LOCATIONS:
            self.ledger.define_location(f"L{at}")
        self.catalog.write_network(b"first", {"L0": b"near"}, self.now_us)
        self.write(RoutingNetwork(b"first", 1, self.now_us), LocationRouting("L0", b"near"))
        self.run(record(*(receive(*level, 400) for level in LEVELS)))
        self.end_group()


def a_location(number: int, location_groups: tuple[str, ...]) -> Location:
    name = f"L{number}"
    return Location(name, 1, "", 1.0, 1.0, "UTC", (), active=True, location_groups=location_groups)


def content_of(resource: Sku | Location) -> dict[str, Any]:
    """What a caller says of a resource."""
    own = {"sku_id", "location_id", "version", "create_time_us", "update_time_us"}
    return {name: value for name, value in msgspec.structs.asdict(resource).items() if name not in own}


def known_as(resource: Sku | Location) -> tuple[Any, ...]:
    return content_of(resource), resource.version, resource.create_time_us, resource.update_time_us


def plain(table: Any) -> Mapping[str, tuple[Any, ...]]:
    return {name: (dict(table[name].content), *table[name][1:]) for name in table}


def passing(chance: Random) -> int:
    """How long nothing happens."""
    return chance.choice((0, 0, SECOND_US, 5 * SECOND_US, MINUTE_US, 4 * MINUTE_US, DAY_US))


def groups(pair: Pair) -> Iterator[None]:
    """Let random groups pass."""
    acts = (
        *(pair.plan,) * 4,
        *(pair.change,) * 6,
        *(pair.reject,) * 2,
        pair.refuse,
        pair.write_catalog,
        pair.write_network,
        lambda: pair.run(set_on_hand([(*pair.chance.choice(LEVELS), 400)])),
    )
    for _ in range(GROUP_COUNT):
        pair.now_us += passing(pair.chance)
        pair.expire()
        for _ in range(pair.chance.randint(1, 4)):
            pair.chance.choice(acts)()
        pair.end_group()
        yield


@pytest.mark.parametrize("seed", range(SEED_COUNT))
def test_the_parts_of_a_book_are_what_their_oracles_say(seed, monkeypatch):
    monkeypatch.setattr("ledger.parts.references.LISTED_MAX", 2 + 8 * (seed % 2))
    monkeypatch.setattr("ledger.parts.views.WHOLE_SHARE", seed % 2)  # so that few places make differences, too
    pair = Pair(seed)
    pair.begin()
    for _ in groups(pair):
        if pair.chance.random() < 0.15:
            pair.take_over()
    assert len(pair.plans.plans) > GROUP_COUNT / 2
    assert pair.views_compared > GROUP_COUNT
    assert pair.book.verify() == []


def test_every_part_has_an_oracle():
    """Which the groups above drive beside it."""
    assert ORACLES.keys() == {kind.name for kind in KINDS}
    assert {*ORACLES.values()} <= {type(each) for each in vars(Pair(0)).values()}


def test_what_nobody_may_ask_for_any_more_is_dropped():
    """Dropping keeps up with adding: for each plan that comes, two old ones are looked at."""
    pair = Pair(1)
    pair.begin()
    for _ in groups(pair):
        pass
    old = set(pair.plans.plans)
    for _ in range(len(old)):
        pair.now_us += DAY_US
        pair.expire()
        pair.plan()
        pair.end_group()
    step_of = pair.book.plans._step_of  # the plans of a step go together
    needed = {step_of[seq] for seq in old if pair.plans.must_be_kept(seq, pair.now_us)}
    assert {step_of[seq] for seq in old if seq in step_of} == needed
    assert not [order for order in pair.plans.orders if pair.book.rejections._of_orders.get(order)]

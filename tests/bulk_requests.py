"""Requests as tests of the bulk path make them: one by one, and at random from a seed."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from onhand.inventory.v1 import catalog_pb2, reservation_pb2, transfer_pb2
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1 import stock_pb2 as stock
from onhand.inventory.v1 import transfer_service_pb2 as transfers

from ledger.core.limits import MICROSECONDS

START_US = 1_700_000_000 * MICROSECONDS
WINDOW_SECONDS = 60
QUANTITY_MAX = 2**31 - 1
Type, Reason = stock.MovementType, stock.UnavailableReason

# ---- requests --------------------------------------------------------------------------------------------------------

Triple = tuple[str, str, int]


def place(name: str, *, active: bool = True) -> catalog_pb2.Location:
    return catalog_pb2.Location(location_id=name, kind=catalog_pb2.LOCATION_KIND_STORE, active=active)


def lines(items: Sequence[Triple]) -> list[reservation_pb2.LineQuantity]:
    return [
        reservation_pb2.LineQuantity(sku_id=sku, location_id=location, quantity=units) for sku, location, units in items
    ]


def reserve(*items: Triple, ttl: float = 30, **more: Any) -> reservations.ReserveStockRequest:
    request = reservations.ReserveStockRequest(lines=lines(items), **more)
    request.ttl.FromMicroseconds(round(ttl * MICROSECONDS))
    return request


def change(verb: str, hold: str, *items: Triple, **more: Any) -> Any:
    """Commit, Release, Fulfill or Cancel."""
    noun = "Commitment" if verb in ("Fulfill", "Cancel") else "Reservation"
    return getattr(reservations, f"{verb}{noun}Request")(reservation_id=hold, lines=lines(items), **more)


def extend(hold: str, ttl: float, **more: Any) -> reservations.ExtendReservationRequest:
    request = reservations.ExtendReservationRequest(reservation_id=hold, **more)
    request.ttl.FromMicroseconds(round(ttl * MICROSECONDS))
    return request


def amend(hold: str, *items: Triple, **more: Any) -> reservations.AmendReservationRequest:
    amended = [
        reservations.LineAmendment(sku_id=sku, location_id=location, quantity=units) for sku, location, units in items
    ]
    return reservations.AmendReservationRequest(reservation_id=hold, lines=amended, **more)


def transfer(hold: str, origin: str, target: str, *items: tuple[str, int], **more: Any) -> Any:
    moved = [reservations.SkuQuantity(sku_id=sku, quantity=units) for sku, units in items]
    return reservations.TransferReservationRequest(
        reservation_id=hold, from_location_id=origin, to_location_id=target, lines=moved, **more
    )


def units_of(items: Sequence[tuple[str, int]]) -> list[transfer_pb2.TransferQuantity]:
    return [transfer_pb2.TransferQuantity(sku_id=sku, quantity=units) for sku, units in items]


def create_transfer(origin: str, target: str, *items: tuple[str, int], due: int = 0, **more: Any) -> Any:
    request = transfers.CreateTransferRequest(
        from_location_id=origin, to_location_id=target, lines=units_of(items), **more
    )
    if due:
        request.due_time.FromMicroseconds(due)
    return request


def movement(kind: str, sku: str, location: str, units: int, *, reason: str = "", target: str = "") -> Any:
    return inventory.NewMovement(
        type=Type.Value(f"MOVEMENT_TYPE_{kind}"),
        sku_id=sku,
        location_id=location,
        quantity=units,
        unavailable_reason=Reason.Value(f"UNAVAILABLE_REASON_{reason}") if reason else 0,  # type: ignore[arg-type]
        to_location_id=target,
    )


def movements(*items: Any, **more: Any) -> inventory.RecordMovementsRequest:
    return inventory.RecordMovementsRequest(movements=items, **more)


def counts(*items: Triple, **more: Any) -> inventory.SetOnHandRequest:
    return inventory.SetOnHandRequest(
        counts=[
            inventory.OnHandCount(sku_id=sku, location_id=location, on_hand=units) for sku, location, units in items
        ],
        **more,
    )


def uuid4(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def uuid7(time_us: int, number: int) -> str:
    digits = f"{time_us // 1000:012x}"
    return f"{digits[:8]}-{digits[8:]}-7000-8000-{number:012x}"


# ---- at random -------------------------------------------------------------------------------------------------------

WIDE = [f"W{number}" for number in range(102)]
NAMES = ["", "", "", "order-1", "order-2", "Kasse 3 · Müller"]


class Shoppers:
    """Makes up commands of all operations, from a seed."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.asked: list[Any] = []
        self.holds: list[str] = ["nonsense", "0000000000000000", "ffffffffffffffff"]
        self.on_the_way: list[str] = ["nonsense", "0000000000000000", "ffffffffffffffff"]
        self._number = 0

    def rarely(self, times: int) -> bool:
        return self.chance.randrange(times) == 0

    def request(self, now_us: int) -> Any:
        """The next command: a new one, or one that was asked before."""
        if self.asked and self.rarely(7):
            return self.chance.choice(self.asked[-60:])
        asks: list[Callable[[], Any]] = [
            *(self.reserve,) * 4,
            *(self.change,) * 5,
            self.extend,
            *(self.amend,) * 2,
            *(self.replace,) * 2,
            *(self.transfer,) * 2,
            *(self.movements,) * 3,
            self.count,
            self.create,
            *(self.verb,) * 3,
        ]
        request = self.chance.choice(asks)()
        request.request_id = self.request_id(now_us)
        if self.rarely(3):
            request.reference, request.actor = self.chance.choice(NAMES), self.chance.choice(NAMES)
        self.asked.append(request)
        return request

    def request_id(self, now_us: int) -> str:
        self._number += 1
        ids = ["", "", uuid4(self._number), uuid4(self._number), uuid7(now_us, self._number)]
        if self.rarely(20):
            ids = [uuid7(now_us - 2 * WINDOW_SECONDS * MICROSECONDS, self._number)]
        if self.asked and self.rarely(12):
            ids = [self.chance.choice(self.asked[-60:]).request_id]
        return self.chance.choice(ids)

    def sku(self) -> str:
        return self.chance.choice(["D", "unknown", "unknown too"]) if self.rarely(25) else self.chance.choice("ABC")

    def location(self) -> str:
        return self.chance.choice(["Z", "Nowhere"]) if self.rarely(25) else self.chance.choice("XY")

    def units(self) -> int:
        return self.chance.choice([40, 500, QUANTITY_MAX]) if self.rarely(15) else self.chance.randint(1, 4)

    def levels(self) -> list[Triple]:
        if self.rarely(40):
            return [(name, "X", 1) for name in WIDE[:100]]
        count = self.chance.choice([1, 1, 1, 1, 2, 3, 5])
        return [(self.sku(), self.location(), self.units()) for _ in range(count)]

    def each_once(self) -> list[Triple]:
        return [(*key, units) for key, units in {item[:2]: item[2] for item in self.levels()}.items()]

    def hold(self) -> str:
        """A reservation, mostly a recent one; or one that this very call may make."""
        if self.rarely(8):
            latest = int(self.holds[-1], 16) if self.holds[-1].isalnum() and len(self.holds) > 3 else 2**32
            return f"{latest + self.chance.randint(1, 8):016x}"
        return self.chance.choice(self.holds[-25:])

    def ttl(self) -> float:
        return self.chance.choice([0.000_001, 0.5, 3.0, 30.0, 30.0, 14_400.0])

    def reserve(self) -> Any:
        items = [(sku, location, min(units, QUANTITY_MAX // 100)) for sku, location, units in self.levels()]
        return reserve(*items, ttl=self.ttl(), allow_partial=self.rarely(4))

    def change(self) -> Any:
        verb = self.chance.choice(["Commit", "Commit", "Commit", "Release", "Fulfill", "Fulfill", "Cancel"])
        items = [(sku, location, self.chance.randint(1, 2)) for sku, location, _ in self.levels()]
        return change(verb, self.hold(), *(items if self.rarely(2) else ()))

    def extend(self) -> Any:
        return extend(self.hold(), self.ttl())

    def version(self) -> int:
        return self.chance.choice([0, 0, 0, 1, 2, 7])

    def amend(self) -> Any:
        if self.rarely(5):
            return amend(self.hold(), *((name, "X", 1) for name in WIDE[99:]))
        items = [(sku, location, units - 1) for sku, location, units in self.each_once()]
        return amend(self.hold(), *items, expected_version=self.version())

    def replace(self) -> Any:
        items = [(sku, location, min(units, QUANTITY_MAX // 100)) for sku, location, units in self.levels()]
        return reserve(*items, ttl=self.ttl(), reservation_id=self.hold(), expected_version=self.version())

    def transfer(self) -> Any:
        origin = self.location()
        target = self.chance.choice([name for name in ("X", "Y", "Z", "Nowhere") if name != origin])
        some = {self.sku(): self.chance.randint(1, 3) for _ in range(self.chance.choice([0, 1, 1, 2]))}
        return transfer(self.hold(), origin, target, *some.items(), expected_version=self.version())

    def create(self) -> Any:
        origin = self.location()
        target = self.chance.choice([name for name in ("X", "Y", "Z", "Nowhere") if name != origin])
        order = self.hold() if self.rarely(4) else ""
        lines = [(sku, units) for sku, _, units in self.levels()]
        return create_transfer(
            origin,
            target,
            *((sku, min(units, QUANTITY_MAX // 100)) for sku, units in lines),
            hold=self.rarely(3),
            reservation_id=order,
            use_safety_stock=self.rarely(3),
            due=self.chance.choice([0, 0, START_US + 1]),
        )

    def shipped(self) -> str:
        """A transfer, mostly a recent one; or one that this very call may make."""
        if self.rarely(10) and len(self.on_the_way) > 3:
            return f"{int(self.on_the_way[-1], 16) + self.chance.randint(1, 3):016x}"
        return self.chance.choice(self.on_the_way[-12:])

    def verb(self) -> Any:
        """Something that is done with a transfer; of no lines, or of some."""
        named = {"transfer_id": self.shipped(), "expected_version": self.version()}
        lines = [(sku, self.chance.randint(1, 3)) for sku, _, _ in self.levels()] if self.rarely(2) else []
        kind = self.chance.choice(["dispatch"] * 4 + ["receive"] * 4 + ["close", "find", "find", "cancel"])
        if kind == "dispatch":
            more = {"use_safety_stock": self.rarely(3)}
            return transfers.DispatchTransferRequest(lines=units_of(lines), **named, **more)
        if kind == "receive":
            return transfers.ReceiveTransferRequest(lines=list(map(self.received, lines)), **named)
        if kind == "close":
            return transfers.CloseTransferRequest(**named)
        if kind == "find":
            found = [
                transfer_pb2.FoundUnits(sku_id=sku, quantity=1, at_source=self.rarely(3))
                for sku, _ in lines or [("A", 1)]
            ]
            return transfers.RecordFoundUnitsRequest(lines=found, **named)
        return transfers.CancelTransferRequest(written_off=units_of(lines), **named)

    def received(self, line: tuple[str, int]) -> Any:
        """Units that are said to have arrived; none that nobody sent: what becomes of counts depends on the group."""
        condition = self.chance.choice([0, 1, 1, 1, 2, 3])
        reason = self.chance.randint(1, 5) if condition == transfer_pb2.RECEIPT_CONDITION_UNAVAILABLE else 0
        return transfer_pb2.ReceivedUnits(
            sku_id=line[0],
            quantity=line[1],
            condition=condition,  # type: ignore[arg-type]  # enums are ints
            unavailable_reason=reason,  # type: ignore[arg-type]  # enums are ints
        )

    def movement(self) -> Any:
        sku, location, units = self.sku(), self.location(), self.units()
        kind, reason, target = self.chance.choice(["RECEIVE", "RECEIVE", "SALE", "SALE", "DAMAGE"]), "", ""
        if self.rarely(2):
            kind = self.chance.choice(
                ["RETURN", "ADJUST", "DAMAGE", "MARK_UNAVAILABLE", "MARK_AVAILABLE", "WRITE_OFF", "TRANSFER"]
            )
        if kind in ("MARK_UNAVAILABLE", "MARK_AVAILABLE", "WRITE_OFF") or (kind == "RETURN" and self.rarely(2)):
            reason = self.chance.choice(["DAMAGED", "QUALITY_HOLD", "QUARANTINE", "DISPLAY", "RETURN_INSPECTION"])
        if kind == "DAMAGE" and self.rarely(2):
            reason = "DAMAGED"
        if kind == "ADJUST":
            units = self.chance.choice([units, -units])
        if kind == "TRANSFER":
            target = self.chance.choice([name for name in ("X", "Y", "Z", "Nowhere") if name != location])
        return movement(kind, sku, location, units, reason=reason, target=target)

    def movements(self) -> Any:
        return movements(*(self.movement() for _ in range(self.chance.choice([1, 1, 2, 4]))))

    def count(self) -> Any:
        return counts(*((sku, location, units % 100) for sku, location, units in self.each_once()))


def damage(call: Any, chance: Random) -> None:
    """Spoil some columns of a call: entries, lengths, and request ids."""
    repeated = [field.name for field in call.DESCRIPTOR.fields if field.is_repeated]
    for field in chance.sample(repeated, chance.randint(1, 6)):
        column = getattr(call, field)
        for _ in range(chance.randint(1, 3)):
            how = chance.random()
            if how < 0.2 or not column:
                column.append(column[0] if column else _any_of(call, field, chance))
            elif how < 0.4:
                del column[chance.randrange(len(column))]
            else:
                column[chance.randrange(len(column))] = _any_of(call, field, chance)
    if chance.random() < 0.2:
        call.request_ids = bytes(chance.randrange(40))


def _any_of(call: Any, field: str, chance: Random) -> Any:
    kind = call.DESCRIPTOR.fields_by_name[field]
    if kind.cpp_type == kind.CPPTYPE_STRING:
        return chance.choice(["", " A", "A", "nobodys", "x" * 65])
    if kind.cpp_type == kind.CPPTYPE_BOOL:
        return chance.random() < 0.5
    if kind.cpp_type in {kind.CPPTYPE_UINT32, kind.CPPTYPE_UINT64}:
        return chance.choice([0, 1, 2, 99, 2**32 - 1])
    if kind.cpp_type == kind.CPPTYPE_ENUM:
        return chance.choice([0, 1, 2, 5, 99])
    return chance.choice([-(2**31), -2, -1, 0, 1, 2, 99, 2**31 - 1])

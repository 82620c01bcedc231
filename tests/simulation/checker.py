"""What must hold: at each answer at once, and in the end for the whole journal, replayed by the plain oracle.

The journal has the last word on what happened: its entries name the commands by their references and have the times.
The oracle runs these commands at these times, and must come to the same outcomes, answers, levels and reservations.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.routing.v1 import network_service_pb2 as networks
from onhand.routing.v1 import routing_service_pb2 as routing
from onhand.rules.checks import reservation_name
from sequencer.harness import METHODS, Failure

from engine.api.desk import METHODS as DESK_METHODS
from engine.api.methods import BatchBuilder
from engine.api.routing.network_proof import network_violations
from engine.errors import RefusedError
from ledger.book import NO_COMMANDS, Book
from ledger.core.names import unknown_index
from ledger.core.records import IS_OVERSOLD, IS_REMEMBERED, RECORDED, Batch
from ledger.core.statuses import (
    DocumentKind,
    FulfillmentAction,
    Operation,
    Status,
    TransferAction,
)
from ledger.core.views import DocumentView
from ledger.journal.entry import CHAIN_START, Entry, decode_entry
from ledger.journal.errors import JournalCorrupt
from ledger.oracle.forms import FORMS
from ledger.oracle.references import OracleReferences
from ledger.oracle.stock import OracleLedger
from ledger.parts.planned import RefusedCall
from ledger.parts.registry import decode_changes
from ledger.parts.resources import Location, Sku
from ledger.replay import Replayer

from .beside import Beside, Step, Violated, steps_of
from .documents import READS_OF_DOCUMENTS, document_differs
from .orders import PLANS, Planned
from .settings import RETENTION_US, WINDOW_US

if TYPE_CHECKING:
    from .clients import Part
    from .engines import Attempt
    from .world import World

UNKNOWN: Final = 2**52 - 1
HOPELESS: Final = "expected a location that may serve"
"""Whoever asks for what nobody may ever serve is told so; the network may have no other location left."""
FOR_EVER_US: Final = 2**60
MAY_CHANGE_NOTHING: Final = ("CommitReservation", "SetOnHand", "SetStockPolicy", *PLANS)
"""Methods whose success is not journaled, without a request id, where nothing changed."""
OF_ANY_ENGINE: Final = ("VerifyLedger",)
"""Reads that a standby answers as well, of what it has."""
KIND_OF: Final = {
    Operation.ADVANCE: DocumentKind.TRANSFER,
    Operation.ADVANCE_FULFILLMENT: DocumentKind.FULFILLMENT_ORDER,
}
DOUBTFUL: Final = {
    DocumentKind.TRANSFER: TransferAction.ADD,
    DocumentKind.FULFILLMENT_ORDER: FulfillmentAction.MISS,
}
"""What a line says after which a stock level has to be counted, by kind of document."""
HOLDING: Final = (
    *(Operation.RESERVE, Operation.REPLACE, Operation.AMEND, Operation.TRANSFER),
    *(Operation.COMMIT, Operation.EXTEND),
)

READS_OF_PRIMARIES: Final = (
    inventory.GetStockLevelResponse,
    reservations.GetReservationResponse,
    catalog.GetSkuResponse,
    networks.GetNetworkResponse,
    routing.ExplainPlanResponse,
    *READS_OF_DOCUMENTS,
)
READS_BESIDE: Final = READS_OF_PRIMARIES[2:5]


class Violation(BaseException):
    """Something that must never be; no part of the product may catch it."""


class Checker:
    """Hears every answer, and judges.

    Parameters
    ----------
    world : World
        That it is about.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._reads: list[tuple[int, Any]] = []

    # ---- at once -----------------------------------------------------------------------------------------------------

    def told(self, part: Part, answer: Any, attempt: Attempt) -> None:
        """Judge an answer as far as that can be done now."""
        if isinstance(answer, (Failure, RefusedError)):
            is_hopeless = part.method in PLANS and HOPELESS in str(answer)
            if answer.reason in {"INTERNAL_ERROR", "LEDGER_CORRUPT", "VALIDATION_FAILED"} and not is_hopeless:
                raise Violation(f"{part.reference or part.method}: {answer!r}")
            return
        seq = answer.seq
        if part.method in OF_ANY_ENGINE:
            self._reads.append((seq, (part, answer)))
            return
        self._require_durable(part, seq, attempt)
        if seq < part.floor + bool(part.request_id):
            raise Violation(
                f"{named(part, attempt)}: seq {seq} was told, but {part.floor} had been before it was asked"
            )
        # In a world that lost entries a seq that was skipped may be told, and given out by an engine that knew nothing.
        self._world.told_seq = max(self._world.told_seq, min(seq, self._world.server.tail_seq))
        if not part.reference:
            self._reads.append((seq, (part, answer)))

    def _require_durable(self, part: Part, seq: int, attempt: Attempt) -> None:
        durable = self._world.server.durable_seq
        if seq > durable and not self._world.may_be_lost(seq):
            raise Violation(f"{named(part, attempt)}: seq {seq} was told, but the journal has only {durable} durable")

    # ---- in the end --------------------------------------------------------------------------------------------------

    def check_all(self) -> None:
        """Judge the whole history."""
        history = self._world.server.history
        replay = Replay(self._world, self._reads)
        replay.begin()
        for last_seq, payload in history:
            replay.apply(last_seq, payload)
        replay.finish()
        self._compare_engines(replay.book)

    def _compare_engines(self, book: Book) -> None:
        """All engines have the digest of a fresh replay, and that has nothing to complain of."""
        for engine in self._world.engines:
            found = engine.book
            if found is not None and (found.seq, found.digest()) != (book.seq, book.digest()):
                raise Violation(f"engine {engine.name} at seq {found.seq}: its digest is not that of a replay")
        violations = [found for part in book.parts for found in part.verify()] + [*network_violations(book)]
        # The ledger's own takes as long as the whole seed, and the oracle was compared all the way.
        if violations := violations or (self._world.happens(0.1) and book.ledger.verify()):
            raise Violation(f"ledger: {violations[0]}")


class Recorded(NamedTuple):
    """One RECORDED of the journal."""

    operation: int
    status: int
    flags: int
    state: int
    line_count: int
    detail_count: int
    version: int
    verb: int
    pad: int
    more_pad: int
    reservation_id: int
    time_us: int


assert Recorded._fields == RECORDED.names


class Outcome(NamedTuple):
    """What the oracle says of a command."""

    status: Status
    seq: int
    state: int
    version: int
    reservation_id: str
    """As callers see it."""
    expire_us: int
    shortages: list[tuple[int, int]]
    """Units asked for and units that can be had."""
    is_oversold: bool


class Names:
    """Indexes of names as the oracle has them now, for what makes commands of requests."""

    def __init__(self) -> None:
        self.skus: dict[str, int] = {}
        self.locations: dict[str, int] = {}

    @property
    def ledger(self) -> Names:
        """Itself: a book's names are its ledger's."""
        return self

    def sku_index(self, name: str) -> int:
        """Index of a sku, negative if it is unknown."""
        return self.skus.get(name, unknown_index(name))

    def location_index(self, name: str) -> int:
        """Index of a location, negative if it is unknown."""
        return self.locations.get(name, unknown_index(name))


class Replay:
    """The journal, replayed by a fresh book and by the oracle, and compared with what clients were told."""

    def __init__(self, world: World, reads: list[tuple[int, Any]]) -> None:
        self._world = world
        self._parts = {part.reference: part for client in world.clients for part in client.parts if part.reference}
        self._reads: dict[int, list[tuple[Part, Any]]] = defaultdict(list)
        for seq, read in reads:
            self._reads[seq].append(read)
        self.book = Book(request_window_us=WINDOW_US, retention_us=RETENTION_US)
        self._replayer = Replayer(self.book, CHAIN_START)
        self._oracle = OracleLedger(request_window_us=WINDOW_US, retention_us=FOR_EVER_US)
        self._names = Names()
        self._time_us = 0
        self._oracle_ids: dict[int, int] = {}
        self._parts_by_id = {part.request_id: part for part in self._parts.values() if part.request_id}
        self._beside = Beside(self._oracle, self.book, self._names.skus, self._names.locations, self._oracle_ids)
        self._oracle_documents: dict[int, int] = {}
        self._documents: dict[int, DocumentView] = {}
        self._references = OracleReferences()
        self._decided: set[str] = set()
        """Request ids that were decided."""
        self._outcomes: dict[str, Outcome] = {}
        """By reference."""

    def begin(self) -> None:
        """Judge what was shown of the empty ledger."""
        self._compare_reads(0)

    # ---- one entry ---------------------------------------------------------------------------------------------------

    def apply(self, last_seq: int, payload: bytes) -> None:
        """Apply one entry, and compare what it says with what the oracle says."""
        try:
            self._replayer.apply(last_seq, payload)
        except JournalCorrupt as error:
            raise Violation(f"journal: {error}") from error
        entry, _ = decode_entry(payload, None, last_seq)
        for seq in range(entry.first_seq - entry.skipped_count, entry.first_seq):
            self._compare_reads(seq, is_skipped=True)
        self._oracle.seq += entry.skipped_count
        if entry.time_us < self._time_us:
            raise Violation(f"entry {last_seq}: its time is {self._time_us - entry.time_us} us before the entry before")
        self._time_us = entry.time_us
        self._oracle.execute(NO_COMMANDS, entry.time_us)
        group = entry.group()
        requests = iter(group.requests.tolist())
        references = {position: actor or reference for position, reference, actor in entry.notes}
        changes = self._changes_of(entry)
        steps = steps_of(changes)
        for position, row in enumerate(group.records.tolist()):
            record, seq, own = Recorded(*row), entry.first_seq + position, changes.get(position, [])
            request_id = self._note_request(next(requests), seq) if record.flags & IS_REMEMBERED else ""
            part = self._parts.get(references.get(position, "")) or self._parts_by_id.get(request_id)
            with beside(seq):
                if not self._run_beside(part, record, own, steps.get(seq), seq):
                    self._run(references.get(position, ""), record, seq, entry.time_us)
                self._beside.follow(record, own, seq, entry.time_us)
            if part is not None:
                self._hear(part, record)
        if self._oracle.seq != last_seq:
            raise Violation(f"entry {last_seq}: the oracle is at seq {self._oracle.seq}: other holds expired")
        self._compare_levels(last_seq, set(group.movements["level"].tolist()))
        self._compare_references(last_seq, {record["reservation_id"].item() for record in group.records})
        with beside(last_seq):
            self._beside.compare(entry.time_us)
        self._compare_documents(last_seq)
        self._compare_reads(last_seq)

    def _hear(self, part: Part, record: Recorded) -> None:
        """Let the oracle of references hear what a caller said who made or committed a reservation."""
        if record.status == Status.OK and record.operation == Operation.RESERVE:
            self._references.make(record.reservation_id, part.request.reference, part.request.actor)
        if record.status == Status.OK and record.operation == Operation.COMMIT and record.line_count:
            self._references.commit(record.reservation_id, part.request.reference)

    def _compare_references(self, seq: int, numbers: set[int]) -> None:
        """Compare what was said of some reservations, and what their references find."""
        found, ledger = self.book.references, self.book.ledger
        for number in filter(ledger.has_reservation, numbers):
            expected, said = self._references.of(number), found.of(number)
            if (said.reference, said.actor, said.commit_reference) != expected:
                raise Violation(f"seq {seq}: {reservation_name(number)} says {said}, expected {expected}")
            for reference in filter(None, {expected.reference, expected.commit_reference}):
                slots = found.slots_of(reference) or []
                own = {ledger.reservation_id_at(slot) for slot in slots}
                if not {each for each in self._references.found_by(reference) if ledger.has_reservation(each)} <= own:
                    raise Violation(f"seq {seq}: {reference} finds {own}")

    @staticmethod
    def _changes_of(entry: Entry) -> dict[int, list[Any]]:
        """Return what an entry says of what is beside the ledger, by the position of its record."""
        changes: dict[int, list[Any]] = defaultdict(list)
        for position, content in entry.changes:
            changes[position] += decode_changes(content)
        return changes

    def _run_beside(self, part: Part | None, record: Recorded, changes: list[Any], step: Step | None, seq: int) -> bool:
        """Let the oracles of what is beside the ledger follow a record; False: it is the ledger's alone."""
        if step is None and record.operation not in {Operation.CHANGE_CATALOG, Operation.REMEMBER, Operation.EXPIRE}:
            return False
        time_us = self._time_us
        refusals = [change for change in changes if isinstance(change, RefusedCall)]
        if step is not None or refusals:
            if part is None:
                raise Violation(f"seq {seq}: nobody asked for what is kept")
            if part.reference in self._beside.decided:
                raise Violation(f"seq {seq}: {part.reference} was applied a second time")
            if refusals:
                self._beside.refuse(part, refusals[0], record, seq, time_us)
            elif step is not None and part.method == "RejectAssignment":
                self._beside.reject(part, step, record, seq, time_us)
            elif step is not None:
                self._beside.plan(part, step, record, seq, time_us)
        elif record.operation in (Operation.CHANGE_CATALOG, Operation.REMEMBER):
            self._oracle.seq += 1
            self._define(changes)
            counts = (asked.request for asked in self._parts.values() if asked.method == "SetOnHand")
            self._beside.count_without_trace(changes, counts, seq)
            if part is not None:
                self._beside.write(part, changes, seq, Status(record.status), time_us)
        return True

    def _in_doubt(self, batch: Batch, number: int, kind: DocumentKind) -> set[tuple[int, int]]:
        """Return the levels at the source of a document of which units came that nobody sent, or were not found."""
        document = self._oracle.document(number, kind)
        assert document is not None
        return {(sku, document.source) for sku in batch.lines["sku"][1:][batch.lines["kind"][1:] == DOUBTFUL[kind]]}

    def _note_request(self, row: tuple[int, int, int], seq: int) -> str:
        text = f"{row[0]:016x}{row[1]:016x}"
        name = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
        if name in self._decided:
            raise Violation(f"seq {seq}: request id {name} was decided a second time")
        self._decided.add(name)
        return name

    def _define(self, changes: list[Any]) -> None:
        """Give names their indexes, in the order in which they came."""
        for resource in changes:
            if isinstance(resource, Location):
                index = self._oracle.define_location(resource.location_id)
                self._names.locations[resource.location_id] = index
                self._oracle.set_location_active(index, resource.active)
            elif isinstance(resource, Sku):
                self._names.skus[resource.sku_id] = self._oracle.define_sku(resource.sku_id)

    def _run(self, reference: str, record: Recorded, seq: int, time_us: int) -> None:
        """Let the oracle run the command that a record names, and compare."""
        part = self._parts.get(reference)
        if part is None:
            raise Violation(f"seq {seq}: nobody asked for {reference!r}")
        if reference in self._outcomes:
            raise Violation(
                f"seq {seq}: {reference} was applied a second time, first at {self._outcomes[reference].seq}"
            )
        batch = self._batch(part)
        if record.status == Status.RESERVATION_NOT_FOUND and self._is_long_ended(batch, time_us):
            batch.commands[0]["reservation_id"] = UNKNOWN  # when it is forgotten is the ledger's own affair
        kind = KIND_OF.get(record.operation)
        if kind is not None:
            self._forget_with_the_ledger(batch, record, time_us)
        before = self._short_levels(batch)
        answer = self._oracle.execute(batch, time_us)
        row = answer.outcomes[0]
        found = Status(record.status), seq, record.state, record.version
        expected = Status(int(row["status"])), int(row["seq"]), int(row["state"]), int(row["version"])
        if found != expected:
            raise Violation(f"seq {seq}: {reference} {part.method}: the oracle says {expected}, the journal {found}")
        if record.operation == Operation.SET_ON_HAND and record.status == Status.OK:
            self._beside.count(part.request)
        if record.operation == Operation.RESERVE and record.status == Status.OK:
            self._oracle_ids[record.reservation_id] = int(row["reservation_id"])
        if kind is not None and record.status == Status.OK:
            self._oracle_documents[record.reservation_id] = int(row["reservation_id"])
            self._expect_document(record.reservation_id, kind)
            doubtful = self._in_doubt(batch, int(row["reservation_id"]), kind)
            self._beside.expect_suspects(doubtful, self._oracle.level)
        if record.operation in HOLDING and (short := self._short_levels(batch) - before):
            raise Violation(f"seq {seq}: {reference} oversold {sorted(short)}")
        self._outcomes[reference] = Outcome(
            *expected,
            reservation_name(record.reservation_id),
            int(row["time_us"]),
            list(zip(answer.details["requested"].tolist(), answer.details["quantity"].tolist(), strict=True)),
            bool(int(row["flags"]) & IS_OVERSOLD),
        )

    def _batch(self, part: Part) -> Batch:
        """Return the command of a part, with the oracle's own number of its reservation."""
        builder = BatchBuilder(self._names)  # type: ignore[arg-type]  # names are all it needs of a book
        for command in DESK_METHODS[METHODS[part.method]].handler.read(part.request):  # type: ignore[union-attr]  # stock
            builder.add(command)
        batch = builder.take()
        number = int(batch.commands[0]["reservation_id"])
        is_document = int(batch.commands[0]["operation"]) in KIND_OF
        known = self._oracle_documents if is_document else self._oracle_ids
        batch.commands[0]["reservation_id"] = known.get(number, UNKNOWN) if number else 0
        if is_document and (order := int(batch.lines[0]["to_quantity"])):
            batch.lines[0]["to_quantity"] = self._oracle_ids.get(order, UNKNOWN)
        return batch

    def _forget_with_the_ledger(self, batch: Batch, record: Recorded, time_us: int) -> None:
        """Let the oracle not know what the ledger has forgotten: when it does is its own affair."""
        if record.status == Status.DOCUMENT_NOT_FOUND:
            kind = KIND_OF[record.operation]
            view = self._oracle.document(int(batch.commands[0]["reservation_id"]), kind)
            if view is not None and view.state in FORMS[kind].ended and view.time_us + RETENTION_US < time_us:
                batch.commands[0]["reservation_id"] = UNKNOWN
        if record.status == Status.RESERVATION_NOT_FOUND:
            view_of_order = self._oracle.reservation(int(batch.lines[0]["to_quantity"]))
            if view_of_order is not None and not any(line.open for line in view_of_order.lines):
                batch.lines[0]["to_quantity"] = UNKNOWN

    def _expect_document(self, number: int, kind: DocumentKind) -> None:
        """Note what a document that changed must be when its entry was replayed."""
        view = self._oracle.document(self._oracle_documents[number], kind)
        assert view is not None
        order = next((own for own, other in self._oracle_ids.items() if other == view.reservation_id), 0)
        self._documents[number] = view._replace(reservation_id=order)

    def _is_long_ended(self, batch: Batch, time_us: int) -> bool:
        view = self._oracle.reservation(int(batch.commands[0]["reservation_id"]))
        is_open = view is not None and any(line.open for line in view.lines)
        return view is not None and not is_open and view.time_us + RETENTION_US < time_us

    def _short_levels(self, batch: Batch) -> set[tuple[int, int]]:
        """Stock levels, of those that a command names, of which more is promised than there is."""
        lines = batch.lines[["sku", "location", "to_location"]].tolist()
        named = {(sku, place) for sku, *places in lines for place in places}
        return {level for level in named if (self._oracle.available(*level) or 0) < 0}

    def _compare_documents(self, seq: int) -> None:
        """Compare the documents that an entry changed."""
        for number, expected in self._documents.items():
            found = self.book.ledger.document(number, expected.kind)
            if found != expected:
                raise Violation(f"seq {seq}: document {number:016x}: the oracle has {expected}, a replay {found}")
        self._documents.clear()

    def _compare_levels(self, seq: int, rows: set[int]) -> None:
        """Compare the stock levels that an entry changed."""
        for row in rows:
            (sku,), (location,) = self._oracle.level_keys(row, row + 1)
            expected, found = self._oracle.level(sku, location), self.book.ledger.level(sku, location)
            if expected != found:
                raise Violation(f"seq {seq}: {(sku, location)}: the oracle has {expected}, a replay {found}")

    # ---- answers -----------------------------------------------------------------------------------------------------

    def _compare_reads(self, seq: int, *, is_skipped: bool = False) -> None:
        """Compare what reads showed with the oracle at the same seq; one that is skipped shows what was before it."""
        for part, answer in self._reads.pop(seq, ()):
            # A standby follows what its journal server has, also before a replica has it: so may what operators see.
            may_be_lost = self._world.is_lossy or not isinstance(answer, READS_OF_PRIMARIES)
            if not (may_be_lost and seq in self._world.lost_seqs):
                self._compare_read(part, answer, seq, is_skipped=is_skipped)

    def _compare_read(self, part: Part, answer: Any, seq: int, *, is_skipped: bool) -> None:
        if isinstance(answer, READS_BESIDE):
            with beside(seq):
                self._beside.compare_read(answer)
        elif isinstance(answer, inventory.GetStockLevelResponse):
            self._compare_level(part, answer.stock_level, seq)
        elif isinstance(answer, reservations.GetReservationResponse):
            self._compare_reservation(answer.reservation, seq)
        elif isinstance(answer, READS_OF_DOCUMENTS):
            if (differs := document_differs(answer, self._oracle, self._oracle_documents)) is not None:
                raise Violation(f"seq {seq}: {differs}")
        elif not is_skipped and (answer.ok, answer.digest) != (True, self.book.digest().hex()):
            raise Violation(
                f"VerifyLedger at seq {seq}: ok {answer.ok}, digest {answer.digest} is not that of a replay"
            )

    def _compare_level(self, part: Part, found: Any, seq: int) -> None:
        ledger = self.book.ledger
        view = self._oracle.level(ledger.sku_index(found.sku_id), ledger.location_index(found.location_id))
        shown = found.on_hand, found.unavailable, found.reserved, found.committed, found.safety_stock
        expected = None
        if view:
            expected = view.on_hand, sum(view.unavailable.values()), view.reserved, view.committed, view.safety_stock
        if shown != expected:
            raise Violation(f"GetStockLevel {part.request} at seq {seq}: the oracle has {expected}, shown was {shown}")

    def _compare_reservation(self, found: Any, seq: int) -> None:
        number = int(found.reservation_id, 16)
        view = self._oracle.reservation(self._oracle_ids.get(number, UNKNOWN))
        if view is None:
            raise Violation(f"GetReservation {found.reservation_id} at seq {seq}: the oracle has none")
        shown = found.state, found.version, [(line.quantity, line.open_quantity) for line in found.lines]
        expected = int(view.state), view.version, [(line.quantity, line.open) for line in view.lines]
        if shown != expected:
            raise Violation(f"GetReservation at seq {seq}: the oracle has {expected}, shown was {shown}")

    def finish(self) -> None:
        """Judge every answer that was given to a write, and the reads that are left."""
        for seq in sorted(self._reads):
            if not self._world.may_be_lost(seq):
                method = self._reads[seq][0][0].method
                raise Violation(f"{method} told seq {seq}, at which the journal has no entry's end")
            if not self._world.is_lossy:
                self._compare_reads(seq, is_skipped=True)
        if broken := self._oracle.verify():
            raise Violation(f"oracle: {broken[0]}")
        for part in self._parts.values():
            for answer in part.answers:
                self._judge(part, answer)

    def _judge(self, part: Part, answer: Any) -> None:
        outcome = self._outcomes.get(part.reference)
        reason = getattr(answer, "reason", "")
        if reason == "REQUEST_ID_TOO_OLD" or self._may_be_lost(answer):
            return
        if outcome is not None:
            self._compare_answer(part, answer, outcome)
        elif part.reference in self._beside.decided:
            with beside(self._beside.decided[part.reference].seq):
                self._beside.compare_answer(part, answer)
        elif part.request_id in self._decided:
            if reason != "REQUEST_ID_REUSED":
                raise Violation(f"{part.reference}: expected REQUEST_ID_REUSED, told was {reason or answer}")
        elif part.request_id or not (reason or self._may_change_nothing(part, answer)):
            raise Violation(
                f"{part.reference} {part.method}: told {reason or answer}, but the journal does not have it"
            )

    @staticmethod
    def _may_change_nothing(part: Part, answer: Any) -> bool:
        return part.method in MAY_CHANGE_NOTHING and not (isinstance(answer, Planned) and answer.reservation_id)

    def _may_be_lost(self, answer: Any) -> bool:
        """Whether the journal server lost this, in a durability mode that lets it."""
        return self._world.is_lossy and (bool(getattr(answer, "reason", "")) or answer.seq in self._world.lost_seqs)

    def _compare_answer(self, part: Part, answer: Any, outcome: Outcome) -> None:
        told = _comparable(answer)
        expected = {
            "reason": "" if outcome.status == Status.OK else outcome.status.name,
            "seq": outcome.seq,
            "state": outcome.state,
            "version": outcome.version,
            "reservation_id": outcome.reservation_id,
            "expire_us": outcome.expire_us,
            "shortages": outcome.shortages,
            "applied_oversold": outcome.is_oversold,
        }
        for name, value in told.items():
            if value != expected[name]:
                raise Violation(
                    f"{part.reference} {part.method}, {name}: the oracle has {expected[name]}, told was {value}"
                )


def _comparable(answer: Any) -> dict[str, Any]:
    """What an answer says, by the names of `_compare_answer`."""
    if isinstance(answer, (Failure, RefusedError)):
        return {"reason": answer.reason}
    told: dict[str, Any] = {"reason": "", "seq": answer.seq}
    for name in ("state", "version", "reservation_id", "applied_oversold"):
        if hasattr(answer, name):
            told[name] = getattr(answer, name)
    if hasattr(answer, "transfer_id"):
        told["reservation_id"] = answer.transfer_id
    if hasattr(answer, "expire_time"):
        told["expire_us"] = answer.expire_time.ToMicroseconds()
    if hasattr(answer, "shortages"):
        told["shortages"] = [(short.requested, short.available) for short in answer.shortages]
    return told


@contextmanager
def beside(seq: int) -> Iterator[None]:
    """Say where it was that something beside the ledger was not as its oracle has it."""
    try:
        yield
    except Violated as error:
        raise Violation(f"seq {seq}: {error}") from error


def named(part: Part, attempt: Attempt) -> str:
    """Say which answer it is about."""
    return f"{part.reference or part.method} by {attempt.engine}"

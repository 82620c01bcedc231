"""Bugs planted on purpose, one of each class that must never get through: the simulator has to find them all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final
from unittest.mock import patch

import numpy as np

from engine.api.routing import plan_columns
from engine.api.stock import catalog
from engine.sequencer import Sequencer
from ledger import recovery
from ledger.core.ledger import Ledger
from ledger.core.records import IS_REMEMBERED, STAGE_BITS, Group
from ledger.core.statuses import FulfillmentStage, Kind, Operation, Status, TransferStage
from ledger.journal.entry import Entry, decode_entry, encode_entry
from ledger.journal.reading import NO_TAIL, parse_tail
from ledger.journal.stream import StreamJournal
from ledger.parts import plans
from ledger.parts.network import Network
from ledger.parts.planned import PlannedOrders
from ledger.parts.plans import Plans
from ledger.parts.references import References
from ledger.parts.resources import LocationRouting, succeed

from .server import KEYS, AddEntry, set_text
from .world import Server

LATE_US: Final = 1_000_000


def skip_epoch_check() -> AbstractContextManager[Any]:
    """The journal server takes an append, a renewal and a trim of any writer, whoever claimed the journal since."""
    return patch.object(Server, "_refuse_other_epoch", lambda *_: None)


def acknowledge_before_durable() -> AbstractContextManager[Any]:
    """Replies go out when the entry was sent, not when the journal server has answered."""
    begin = Sequencer._begin

    def begin_and_answer(self: Any, group: Any, payload: bytes) -> None:
        begin(self, group._replace(replies=[]), payload)
        self._answer(group)

    return patch.object(Sequencer, "_begin", begin_and_answer)


def believe_unsettled() -> AbstractContextManager[Any]:
    """An append whose outcome is unknown is taken for done."""

    def settle(self: Any) -> None:
        self._writer.close()
        self._accept(self._pending)

    return patch.object(StreamJournal, "settle", settle)


def forget_refusals() -> AbstractContextManager[Any]:
    """The journal does not keep the request id of a refusal: after a restart a repeat is decided anew."""
    take_group = Ledger.take_group

    def take_and_forget(self: Ledger) -> Group | None:
        group = take_group(self)
        return None if group is None else _without_refusals(group)

    return patch.object(Ledger, "take_group", take_and_forget)


def _without_refusals(group: Group) -> Group:
    records = group.records.copy()
    is_remembered = records["flags"] & IS_REMEMBERED != 0
    is_refused = is_remembered & (records["status"] != Status.OK)
    details = group.details[~np.repeat(is_refused, records["detail_count"])]
    records["flags"][is_refused] &= 0xFF ^ IS_REMEMBERED
    records["detail_count"][is_refused] = 0
    return group._replace(records=records, requests=group.requests[~is_refused[is_remembered]], details=details)


def count_expired_holds() -> AbstractContextManager[Any]:
    """A hold ends a second late: it still counts after its instant."""
    expire = Ledger._expire
    return patch.object(Ledger, "_expire", lambda self, time_us: expire(self, time_us - LATE_US))


def drop_torn_tail() -> AbstractContextManager[Any]:
    """A journal server that loads a torn entry without its last movement, as if that had been all of it."""
    restart = Server.restart

    def restart_and_keep(self: Any, kept_count: int | None = None) -> None:
        lost = self.transactions[kept_count:] if kept_count is not None else []
        restart(self, kept_count)
        for effect in (effect for effects in lost[:1] for effect in effects if isinstance(effect, AddEntry)):
            _load_torn(self, effect)

    return patch.object(Server, "restart", restart_and_keep)


def _load_torn(server: Server, effect: AddEntry) -> None:
    entry, _ = decode_entry(effect.payload, None, effect.seq)
    group = entry.group()
    with_several = np.flatnonzero(group.records["line_count"] > 1)
    if not len(with_several):
        return
    records = group.records.copy()
    records["line_count"][with_several[-1]] -= 1
    last = int(group.records["line_count"][: with_several[-1] + 1].sum()) - 1
    torn = group._replace(records=records, movements=np.delete(group.movements, last))
    chain = parse_tail(server.data.texts.get(KEYS.tail, NO_TAIL))[1]
    payload, _ = encode_entry(Entry.of_group(torn, entry.epoch, entry.notes, entry.changes), chain)
    for each in (effect._replace(payload=payload), set_text(KEYS.tail, b"%d-0 %b" % (effect.seq, payload[:16]))):
        each(server.data)
        each(server.durable)
    server.history[:] = [*(old for old in server.history if old[0] < effect.seq), (effect.seq, payload)]


def read_without_lease() -> AbstractContextManager[Any]:
    """A primary that does not renew its lease, and answers reads from memory however long ago it had it."""
    return patch.object(Sequencer, "_keep_lease", lambda _: None)


def trust_any_snapshot() -> AbstractContextManager[Any]:
    """A start takes the newest snapshot that is whole, also one that is not of this journal."""
    return patch.object(recovery._Search, "_why_foreign", lambda *_: "")


def forget_first_versions() -> AbstractContextManager[Any]:
    """The catalog: a resource that changes is as if it was new."""
    return patch.object(catalog, "succeed", lambda new, _, time_us: succeed(new, None, time_us))


def keep_what_was_left_out() -> AbstractContextManager[Any]:
    """The network: a location that is not named goes on being routed over, though all others were to be forgotten."""
    put = Network._put_location_routing

    def put_and_keep(self: Network, resource: LocationRouting) -> None:
        if resource.content:
            put(self, resource)

    return patch.object(Network, "_put_location_routing", put_and_keep)


def tell_repeats_the_last_plan() -> AbstractContextManager[Any]:
    """Plans: a repeat is told the last plan of its hold, also where that came of a rejection later."""

    def last_plan(self: Plans, high: int, low: int) -> Any:
        plan = plan_of_request(self, high, low)
        return plan and (self.plan_of_reservation(plan.reservation_id) or plan)

    plan_of_request = Plans.plan_of_request
    return patch.object(Plans, "plan_of_request", last_plan)


def drop_plans_early() -> AbstractContextManager[Any]:
    """Plans: one is kept as long as its hold can be read, and no longer for its request id."""

    def is_needed(self: Plans, step: PlannedOrders) -> bool:
        return bool(self._ledger.are_readable(np.frombuffer(step.reservation_ids, np.int64)).any())

    return patch.object(Plans, "_is_needed", is_needed)


def ask_who_rejected() -> AbstractContextManager[Any]:
    """Rejections: orders in columns do not know of them."""
    return patch.object(plan_columns._Request, "_rejected", lambda *_: iter(()))


def keep_capacity_of_expired_holds() -> AbstractContextManager[Any]:
    """Capacity: a hold that expires goes on taking it."""
    return patch.object(plans, "EFFECT", np.where(np.arange(len(plans.EFFECT)) == Kind.EXPIRE, 0, plans.EFFECT))


def misplace_received_units() -> AbstractContextManager[Any]:
    """The journal says of units that arrived that they were set aside: the transfer is another after a restart."""
    take_group = Ledger.take_group
    arrived = TransferStage.IN_TRANSIT << STAGE_BITS | TransferStage.RECEIVED
    set_aside = TransferStage.IN_TRANSIT << STAGE_BITS | TransferStage.UNAVAILABLE

    def take_and_misplace(self: Ledger) -> Group | None:
        group = take_group(self)
        if group is not None:
            group.movements["change"][group.movements["change"] == arrived] = set_aside
        return group

    return patch.object(Ledger, "take_group", take_and_misplace)


def misplace_picked_units() -> AbstractContextManager[Any]:
    """The journal says of units that were picked that nobody found them."""
    take_group = Ledger.take_group
    picked = FulfillmentStage.OPEN << STAGE_BITS | FulfillmentStage.PICKED
    missing = FulfillmentStage.OPEN << STAGE_BITS | FulfillmentStage.MISSING

    def take_and_misplace(self: Ledger) -> Group | None:
        group = take_group(self)
        if group is not None:
            is_of_work = np.repeat(group.records["operation"], group.records["line_count"])
            own = (is_of_work == Operation.ADVANCE_FULFILLMENT) & (group.movements["change"] == picked)
            group.movements["change"][own] = missing
        return group

    return patch.object(Ledger, "take_group", take_and_misplace)


def forget_who_committed() -> AbstractContextManager[Any]:
    """References: what was said of a reservation when it was committed is not kept."""
    return patch.object(References, "_commit", lambda *_: None)


PLANTED: Final[dict[str, Callable[[], AbstractContextManager[Any]]]] = {
    bug.__name__: bug
    for bug in (
        skip_epoch_check,
        acknowledge_before_durable,
        believe_unsettled,
        forget_refusals,
        count_expired_holds,
        drop_torn_tail,
        read_without_lease,
        trust_any_snapshot,
        forget_first_versions,
        keep_what_was_left_out,
        tell_repeats_the_last_plan,
        drop_plans_early,
        ask_who_rejected,
        keep_capacity_of_expired_holds,
        misplace_received_units,
        misplace_picked_units,
        forget_who_committed,
    )
}


def planted(name: str) -> AbstractContextManager[Any]:
    """Plant a bug for a while; none for an empty name."""
    return PLANTED[name]() if name else nullcontext()

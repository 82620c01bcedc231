"""What kinds of documents are, in plain Python: tables written from docs/transfers.md and docs/fulfillment.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from ledger.core.statuses import (
    DocumentKind,
    FulfillmentAction,
    FulfillmentMethod,
    FulfillmentStage,
    FulfillmentState,
    FulfillmentVerb,
    Status,
    TransferAction,
    TransferStage,
    TransferState,
    TransferVerb,
)
from ledger.oracle.books import Account

if TYPE_CHECKING:
    from ledger.oracle.documents import Document

TO_SEND: Final = (TransferStage.PLANNED, TransferStage.HELD)
ON_THE_WAY: Final = TransferStage.IN_TRANSIT
DRAFTS: Final = (TransferState.DRAFT, TransferState.READY)
ENDED: Final = (TransferState.RECEIVED, TransferState.CLOSED, TransferState.CANCELLED)


class Step(NamedTuple):
    """Units go from one stage to another, and from one account to another; whether of its target or its source."""

    before: IntEnum | None
    after: IntEnum
    source: Account | None
    target: Account | None
    at_target: bool = False
    for_order: bool = False
    """Whether they are committed for the order then."""
    with_order: bool = False
    """Whether the order held them before, or holds them then."""
    is_lost: bool = False
    """Whether they are not there."""


STEPS: Final[Mapping[int, list[Step]]] = {
    TransferAction.PLAN: [Step(None, TransferStage.PLANNED, None, None)],
    TransferAction.HOLD: [Step(None, TransferStage.HELD, Account.FREE, Account.COMMITTED)],
    TransferAction.SEND: [
        Step(TransferStage.HELD, ON_THE_WAY, Account.COMMITTED, Account.TRANSIT),
        Step(TransferStage.PLANNED, ON_THE_WAY, Account.FREE, Account.TRANSIT),
    ],
    TransferAction.ACCEPT: [
        Step(ON_THE_WAY, TransferStage.RECEIVED, Account.TRANSIT, Account.FREE, at_target=True, for_order=True)
    ],
    TransferAction.SET_ASIDE: [
        Step(ON_THE_WAY, TransferStage.UNAVAILABLE, Account.TRANSIT, Account.UNAVAILABLE, at_target=True)
    ],
    TransferAction.LOSE: [Step(ON_THE_WAY, TransferStage.SHORT, Account.TRANSIT, Account.SHRINKAGE)],
    TransferAction.ADD: [Step(None, TransferStage.UNEXPECTED, Account.UNEXPLAINED, Account.FREE, at_target=True)],
    TransferAction.FIND: [
        Step(TransferStage.SHORT, TransferStage.FOUND, Account.SHRINKAGE, Account.FREE, at_target=True, for_order=True)
    ],
    TransferAction.FIND_AT_SOURCE: [Step(TransferStage.SHORT, TransferStage.FOUND, Account.SHRINKAGE, Account.FREE)],
    TransferAction.RETURN: [Step(ON_THE_WAY, TransferStage.RETURNED, Account.TRANSIT, Account.FREE, for_order=True)],
    TransferAction.WITHDRAW: [
        Step(TransferStage.HELD, TransferStage.WITHDRAWN, Account.COMMITTED, Account.FREE, for_order=True),
        Step(TransferStage.PLANNED, TransferStage.WITHDRAWN, None, None),
    ],
}


class Rule(NamedTuple):
    """What a verb is."""

    then: Callable[[Document], IntEnum | None]
    """The state after it, of a document whose units have moved already."""
    of_drafts: bool = True
    """Whether it is for transfers of which nothing was dispatched; those that exist."""
    of_ended: bool = False
    rest: tuple[IntEnum, ...] = ()
    """What becomes of all units, where no line is given."""
    sweeps: bool = False
    """Whether that becomes of units that no line names, too."""
    allowed: tuple[IntEnum, ...] | None = None
    """States that have it, where other words refuse it than those for what has not begun or has ended."""
    methods: tuple[IntEnum, ...] = ()
    """Methods that have it; (): all."""


def always(state: IntEnum) -> Callable[[Document], IntEnum]:
    """Return what leads to a state, whatever there was before."""
    return lambda _: state


def when_created(found: Document) -> TransferState:
    """Tell the state of a new transfer."""
    return TransferState.DRAFT if found.units_in(TransferStage.PLANNED) else TransferState.READY


def when_dispatched(found: Document) -> TransferState:
    """Tell the state of a transfer of which units were sent."""
    has_come = found.state is TransferState.PARTIALLY_RECEIVED
    return TransferState.PARTIALLY_RECEIVED if has_come else TransferState.IN_TRANSIT


def when_received(found: Document) -> TransferState:
    """Tell the state of a transfer of which units came."""
    is_open = found.units_in(*TO_SEND, ON_THE_WAY)
    return TransferState.PARTIALLY_RECEIVED if is_open else TransferState.RECEIVED


RULES: Final[Mapping[int, Rule]] = {
    TransferVerb.CREATE: Rule(when_created),
    TransferVerb.DISPATCH: Rule(when_dispatched, rest=(TransferAction.SEND,)),
    TransferVerb.RECEIVE: Rule(when_received, of_drafts=False, rest=(TransferAction.ACCEPT,)),
    TransferVerb.CLOSE: Rule(
        always(TransferState.CLOSED), of_drafts=False, rest=(TransferAction.LOSE, TransferAction.WITHDRAW), sweeps=True
    ),
    TransferVerb.FIND: Rule(lambda found: found.state, of_drafts=False, of_ended=True),
    TransferVerb.CANCEL: Rule(
        always(TransferState.CANCELLED), rest=(TransferAction.RETURN, TransferAction.WITHDRAW), sweeps=True
    ),
}


class Form(NamedTuple):
    """What a kind of document is."""

    steps: Mapping[int, list[Step]]
    """By action."""
    rules: Mapping[int, Rule]
    """By verb."""
    drafts: tuple[IntEnum, ...]
    """States in which nothing was dispatched yet."""
    ended: tuple[IntEnum, ...]
    is_open: tuple[IntEnum, ...]
    """Stages of units that something is still to become of."""
    held: tuple[IntEnum, ...]
    """Stages of units that are set apart at the source."""
    on_the_way: tuple[IntEnum, ...]


# ---- fulfillment orders, from docs/fulfillment.md --------------------------------------------------------------------

HERE: Final = (FulfillmentStage.OPEN, FulfillmentStage.PICKED)
BEFORE_PICKED: Final = (FulfillmentState.OPEN, FulfillmentState.ACCEPTED, FulfillmentState.PICKING)
BEFORE_READY: Final = (*BEFORE_PICKED, FulfillmentState.PICKED, FulfillmentState.PACKED)
BEFORE_GONE: Final = (*BEFORE_READY, FulfillmentState.READY_FOR_PICKUP)

FULFILLMENT_STEPS: Final[Mapping[int, list[Step]]] = {
    FulfillmentAction.ASSIGN: [Step(None, FulfillmentStage.OPEN, None, None, with_order=True)],
    FulfillmentAction.PICK: [Step(FulfillmentStage.OPEN, FulfillmentStage.PICKED, None, None)],
    FulfillmentAction.SHIP: [
        Step(FulfillmentStage.PICKED, FulfillmentStage.SHIPPED, Account.COMMITTED, Account.CUSTOMER),
        Step(FulfillmentStage.OPEN, FulfillmentStage.SHIPPED, Account.COMMITTED, Account.CUSTOMER),
    ],
    FulfillmentAction.COLLECT: [
        Step(FulfillmentStage.PICKED, FulfillmentStage.COLLECTED, Account.COMMITTED, Account.CUSTOMER)
    ],
    FulfillmentAction.REJECT: [Step(before, FulfillmentStage.REJECTED, None, None, with_order=True) for before in HERE],
    FulfillmentAction.MISS: [
        Step(before, FulfillmentStage.MISSING, Account.COMMITTED, Account.FREE, is_lost=True) for before in HERE
    ],
    FulfillmentAction.CANCEL: [
        Step(FulfillmentStage.OPEN, FulfillmentStage.CANCELLED, Account.COMMITTED, Account.FREE),
        Step(FulfillmentStage.PICKED, FulfillmentStage.TO_PUT_BACK, Account.COMMITTED, Account.FREE),
    ],
    FulfillmentAction.PUT_BACK: [Step(FulfillmentStage.TO_PUT_BACK, FulfillmentStage.CANCELLED, None, None)],
}


def when_picked(found: Document) -> FulfillmentState:
    """Tell the state of a fulfillment order of which units were picked."""
    return FulfillmentState.PICKING if found.units_in(FulfillmentStage.OPEN) else FulfillmentState.PICKED


def as_it_is(found: Document) -> IntEnum | None:
    """Tell the state of one that goes on as before."""
    return found.state


def going_on(found: Document) -> IntEnum | None:
    """Tell the state of one that has units still: where nothing is to be picked any more, all is."""
    is_picked = found.state is FulfillmentState.PICKING and not found.units_in(FulfillmentStage.OPEN)
    return FulfillmentState.PICKED if is_picked else found.state


def unless_here(state: IntEnum) -> Callable[[Document], IntEnum | None]:
    """Return what leads to a state once nothing is to be picked, packed or collected any more."""
    return lambda found: going_on(found) if found.units_in(*HERE) else state


def with_less(state: IntEnum) -> Callable[[Document], IntEnum | None]:
    """Return what leads to a state, where nothing is left and nothing has reached the customer."""

    def then(found: Document) -> IntEnum | None:
        if found.units_in(*HERE):
            return going_on(found)
        if found.units_in(FulfillmentStage.SHIPPED):
            return FulfillmentState.SHIPPED
        return FulfillmentState.COLLECTED if found.units_in(FulfillmentStage.COLLECTED) else state

    return then


TRAVELS: Final = (FulfillmentMethod.SHIP, FulfillmentMethod.DELIVERY)
WAITS: Final = (FulfillmentMethod.PICKUP, FulfillmentMethod.SHIP_TO_STORE)
FULFILLMENT_RULES: Final[Mapping[int, Rule]] = {
    FulfillmentVerb.CREATE: Rule(always(FulfillmentState.OPEN)),
    FulfillmentVerb.ACCEPT: Rule(always(FulfillmentState.ACCEPTED), sweeps=True, allowed=(FulfillmentState.OPEN,)),
    FulfillmentVerb.START_PICKING: Rule(
        always(FulfillmentState.PICKING), sweeps=True, allowed=(FulfillmentState.OPEN, FulfillmentState.ACCEPTED)
    ),
    FulfillmentVerb.PICK: Rule(when_picked, rest=(FulfillmentAction.PICK,), allowed=BEFORE_PICKED),
    FulfillmentVerb.PACK: Rule(
        always(FulfillmentState.PACKED),
        rest=(FulfillmentAction.PICK,),
        sweeps=True,
        allowed=(*BEFORE_PICKED, FulfillmentState.PICKED),
    ),
    FulfillmentVerb.MAKE_READY: Rule(
        always(FulfillmentState.READY_FOR_PICKUP),
        rest=(FulfillmentAction.PICK,),
        sweeps=True,
        allowed=BEFORE_READY,
        methods=WAITS,
    ),
    FulfillmentVerb.SHIP: Rule(
        unless_here(FulfillmentState.SHIPPED), rest=(FulfillmentAction.SHIP,), allowed=BEFORE_READY, methods=TRAVELS
    ),
    FulfillmentVerb.DELIVER: Rule(always(FulfillmentState.DELIVERED), sweeps=True, allowed=(FulfillmentState.SHIPPED,)),
    FulfillmentVerb.COLLECT: Rule(
        unless_here(FulfillmentState.COLLECTED),
        rest=(FulfillmentAction.COLLECT,),
        allowed=(FulfillmentState.READY_FOR_PICKUP,),
    ),
    FulfillmentVerb.REJECT: Rule(
        with_less(FulfillmentState.REJECTED), rest=(FulfillmentAction.REJECT,), allowed=BEFORE_READY
    ),
    FulfillmentVerb.SHORT_PICK: Rule(with_less(FulfillmentState.REJECTED), allowed=BEFORE_GONE),
    FulfillmentVerb.CANCEL: Rule(
        with_less(FulfillmentState.CANCELLED), rest=(FulfillmentAction.CANCEL,), allowed=BEFORE_GONE
    ),
    FulfillmentVerb.GIVE_UP_PICKUP: Rule(
        always(FulfillmentState.NOT_COLLECTED),
        rest=(FulfillmentAction.CANCEL,),
        sweeps=True,
        allowed=(FulfillmentState.READY_FOR_PICKUP,),
    ),
    FulfillmentVerb.PUT_BACK: Rule(as_it_is, rest=(FulfillmentAction.PUT_BACK,), of_ended=True),
}

FORMS: Final[Mapping[int, Form]] = {
    DocumentKind.TRANSFER: Form(
        STEPS, RULES, DRAFTS, ENDED, (*TO_SEND, ON_THE_WAY), (TransferStage.HELD,), (ON_THE_WAY,)
    ),
    DocumentKind.FULFILLMENT_ORDER: Form(
        FULFILLMENT_STEPS,
        FULFILLMENT_RULES,
        (),
        tuple(state for state in FulfillmentState if state not in BEFORE_GONE),
        HERE,
        HERE,
        (),
    ),
}


def refusal_of(state: IntEnum | None, verb: int, form: Form, method: int = 0) -> Status | None:
    """Tell what refuses a verb in a state."""
    rule = form.rules[verb]
    if rule.methods and method not in rule.methods:
        return Status.VERB_NOT_ALLOWED
    if rule.allowed is not None:
        return None if state in rule.allowed else Status.VERB_NOT_ALLOWED
    if state in form.drafts and not form.rules[verb].of_drafts:
        return Status.DOCUMENT_NOT_BEGUN
    if state in form.ended and not form.rules[verb].of_ended:
        return Status.DOCUMENT_ENDED
    return None

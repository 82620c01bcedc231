"""Documents as data: things with a life, whose verbs lead from state to state and move stock.

A document is a header (kind, state, version, from where to where) and lines: of each sku, how many units are in which
stage. DOCUMENTS says of each kind what it can do:

    verbs   kind x verb -> what its lines may say, and what becomes of the units that no line names
    cells   kind x verb x state -> the state afterwards, or the status that refuses the verb
    ways    kind x action -> from which stage units go to which, by which movement, and at which of the two places

The kernels (`ledger.core.kernels.advance`) know kinds, states, verbs, actions and stages only as numbers of these
tables. A new kind is another row of DOCUMENTS, with enums of its own. The oracle, on purpose, knows all of it anew.
"""

from collections.abc import Collection, Iterable, Mapping
from enum import IntEnum
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ledger.core.movements import ROW_OF, Account
from ledger.core.state import STAGES
from ledger.core.statuses import (
    DocumentKind,
    FulfillmentAction,
    FulfillmentMethod,
    FulfillmentStage,
    FulfillmentState,
    FulfillmentVerb,
    Kind,
    Operation,
    Status,
    TransferAction,
    TransferStage,
    TransferState,
    TransferVerb,
)

NOTHING: Final = 0
"""Stage of units that are not in the document yet; state of a document that does not exist yet."""
CREATE: Final = 1
"""The verb that makes a document, of every kind."""


class Place(IntEnum):
    """At which end of the document units move."""

    SOURCE = 0
    TARGET = 1


class Needs(IntEnum):
    """What has to be at the place for units to move."""

    NOTHING = 0
    FREE = 1  # free stock, and safety stock only where the caller says so; a backorder is no unit that can be sent
    THERE = 2  # physically, sellable


class Way(NamedTuple):
    """How units of a line go from one stage to another."""

    action: IntEnum
    source: IntEnum | None
    """Stage that shrinks; None: the units come into the document. Of several ways the first takes what it can."""
    target: IntEnum
    """Stage that grows."""
    movement: Kind
    place: Place
    needs: Needs = Needs.NOTHING
    commits: bool = False
    """Whether the units, free now, are committed in the same step for the order that the document is for."""
    of_order: bool = False
    """Whether the order holds the units before or after it: they stay committed, and where there is no order any more
    that could hold them, they are free."""
    are_missing: bool = False
    """Whether nobody finds the units: of those that are free now, as many are shrinkage."""


class Meanwhile(NamedTuple):
    """What a state is instead, as long as there are units in one of some stages."""

    any_in: tuple[IntEnum, ...]
    state: IntEnum


class Cell(NamedTuple):
    """What a verb does in a state."""

    state: IntEnum | None
    """None: there is no document yet."""
    then: IntEnum | None = None
    """State afterwards."""
    refused: Status = Status.OK
    meanwhile: tuple[Meanwhile, ...] = ()
    """The first of them that is true says the state instead."""


class VerbRow(NamedTuple):
    """What a verb does in each state, and what may be said with it."""

    verb: IntEnum
    cells: tuple[Cell, ...]
    """One for each state, but of CREATE: that one has a cell for no document at all."""
    actions: tuple[IntEnum, ...] = ()
    """What its lines may say."""
    needs_lines: bool = False
    rest: tuple[IntEnum, ...] = ()
    """What becomes of all units, where no line is given."""
    sweeps: bool = False
    """Whether `rest` becomes of the units that no line names, too; it may be that there are none."""
    methods: tuple[IntEnum, ...] = ()
    """Documents of which methods have it; (): all."""


class StateRow(NamedTuple):
    """What fits a state."""

    state: IntEnum
    stages: tuple[IntEnum, ...]
    """Stages that may have units."""
    needs_some_in: tuple[IntEnum, ...] = ()
    """Stages that have units, one of them at least."""
    has_ended: bool = False


class DocumentRow(NamedTuple):
    """One kind of document, as data."""

    kind: DocumentKind
    operation: Operation
    """By which its verbs are commands."""
    states: tuple[StateRow, ...]
    verbs: tuple[VerbRow, ...]
    ways: tuple[Way, ...]
    held: tuple[IntEnum, ...] = ()
    """Stages of units that are committed at the source."""
    in_transit: tuple[IntEnum, ...] = ()
    """Stages of units on the account TRANSIT."""

    def account_of(self, stage: IntEnum | None) -> Account | None:
        """Return the account that units of a stage are on, if it is one that VerifyLedger adds up."""
        return Account.COMMITTED if stage in self.held else Account.TRANSIT if stage in self.in_transit else None


# ---- transfers -------------------------------------------------------------------------------------------------------


def _in(states: Iterable[IntEnum], then: IntEnum | None = None) -> tuple[Cell, ...]:
    """Say that a verb leads from each of some states to another; None: it stays."""
    return tuple(Cell(each, each if then is None else then) for each in states)


def _refused(states: Iterable[IntEnum], status: Status) -> tuple[Cell, ...]:
    return tuple(Cell(each, refused=status) for each in states)


_DRAFTS: Final = (TransferState.DRAFT, TransferState.READY)
_BEGUN: Final = (TransferState.IN_TRANSIT, TransferState.PARTIALLY_RECEIVED)
_ENDED: Final = (TransferState.RECEIVED, TransferState.CLOSED, TransferState.CANCELLED)
_IS_OPEN: Final = (TransferStage.PLANNED, TransferStage.HELD, TransferStage.IN_TRANSIT)


def _transfer_verbs() -> tuple[VerbRow, ...]:
    state, verb, stage, action = TransferState, TransferVerb, TransferStage, TransferAction
    too_early = _refused(_DRAFTS, Status.DOCUMENT_NOT_BEGUN)
    too_late = _refused(_ENDED, Status.DOCUMENT_ENDED)
    received_of = partial(Cell, then=state.RECEIVED, meanwhile=(Meanwhile(_IS_OPEN, state.PARTIALLY_RECEIVED),))
    return (
        VerbRow(
            verb.CREATE,
            (Cell(None, state.READY, meanwhile=(Meanwhile((stage.PLANNED,), state.DRAFT),)),),
            (action.PLAN, action.HOLD),
            needs_lines=True,
        ),
        VerbRow(
            verb.DISPATCH,
            (*_in(_DRAFTS, state.IN_TRANSIT), *_in(_BEGUN), *too_late),
            (action.SEND,),
            rest=(action.SEND,),
        ),
        VerbRow(
            verb.RECEIVE,
            (*too_early, *map(received_of, _BEGUN), *too_late),
            (action.ACCEPT, action.SET_ASIDE, action.LOSE, action.ADD),
            rest=(action.ACCEPT,),
        ),
        VerbRow(
            verb.CLOSE,
            (*too_early, *_in(_BEGUN, state.CLOSED), *too_late),
            rest=(action.LOSE, action.WITHDRAW),
            sweeps=True,
        ),
        VerbRow(
            verb.FIND,
            (*too_early, *_in(_BEGUN), *_in(_ENDED)),
            (action.FIND, action.FIND_AT_SOURCE),
            needs_lines=True,
        ),
        VerbRow(
            verb.CANCEL,
            (*_in((*_DRAFTS, *_BEGUN), state.CANCELLED), *too_late),
            (action.LOSE,),
            rest=(action.RETURN, action.WITHDRAW),
            sweeps=True,
        ),
    )


def _transfer() -> DocumentRow:
    state, stage, action = TransferState, TransferStage, TransferAction
    done = tuple(each for each in stage if each not in _IS_OPEN)
    received = tuple(each for each in stage if each not in (stage.RETURNED, stage.WITHDRAWN))
    return DocumentRow(
        DocumentKind.TRANSFER,
        Operation.ADVANCE,
        states=(
            StateRow(state.DRAFT, (stage.PLANNED,), (stage.PLANNED,)),
            StateRow(state.READY, (stage.HELD,), (stage.HELD,)),
            StateRow(state.IN_TRANSIT, _IS_OPEN, (stage.IN_TRANSIT,)),
            StateRow(state.PARTIALLY_RECEIVED, received, _IS_OPEN),
            *(StateRow(each, done, has_ended=True) for each in _ENDED),
        ),
        verbs=_transfer_verbs(),
        ways=(
            Way(action.PLAN, None, stage.PLANNED, Kind.PLAN, Place.SOURCE),
            Way(action.HOLD, None, stage.HELD, Kind.COMMIT_FREE, Place.SOURCE, Needs.FREE),
            Way(action.SEND, stage.HELD, stage.IN_TRANSIT, Kind.HELD_OUT, Place.SOURCE, Needs.THERE),
            Way(action.SEND, stage.PLANNED, stage.IN_TRANSIT, Kind.TRANSFER_OUT, Place.SOURCE, Needs.FREE),
            Way(action.ACCEPT, stage.IN_TRANSIT, stage.RECEIVED, Kind.TRANSFER_IN, Place.TARGET, commits=True),
            Way(action.SET_ASIDE, stage.IN_TRANSIT, stage.UNAVAILABLE, Kind.TRANSFER_IN, Place.TARGET),
            Way(action.LOSE, stage.IN_TRANSIT, stage.SHORT, Kind.TRANSFER_SHORT, Place.SOURCE),
            Way(action.ADD, None, stage.UNEXPECTED, Kind.UNEXPECTED, Place.TARGET),
            Way(action.FIND, stage.SHORT, stage.FOUND, Kind.TRANSFER_FOUND, Place.TARGET, commits=True),
            Way(action.FIND_AT_SOURCE, stage.SHORT, stage.FOUND, Kind.TRANSFER_FOUND, Place.SOURCE),
            Way(action.RETURN, stage.IN_TRANSIT, stage.RETURNED, Kind.TRANSFER_IN, Place.SOURCE, commits=True),
            Way(action.WITHDRAW, stage.HELD, stage.WITHDRAWN, Kind.CANCEL, Place.SOURCE, commits=True),
            Way(action.WITHDRAW, stage.PLANNED, stage.WITHDRAWN, Kind.PLAN, Place.SOURCE),
        ),
        held=(stage.HELD,),
        in_transit=(stage.IN_TRANSIT,),
    )


# ---- fulfillment orders ----------------------------------------------------------------------------------------------

_TO_BE_PACKED: Final = (FulfillmentState.OPEN, FulfillmentState.ACCEPTED, FulfillmentState.PICKING)
_AT_THE_SHELF: Final = (*_TO_BE_PACKED, FulfillmentState.PICKED, FulfillmentState.PACKED)
_LIVE: Final = (*_AT_THE_SHELF, FulfillmentState.READY_FOR_PICKUP)
_ASSIGNED: Final = (FulfillmentStage.OPEN, FulfillmentStage.PICKED)
_TRAVEL: Final = (FulfillmentMethod.SHIP, FulfillmentMethod.DELIVERY)
_ARE_COLLECTED: Final = (FulfillmentMethod.PICKUP, FulfillmentMethod.SHIP_TO_STORE)


def _allowed(cells: Iterable[Cell]) -> tuple[Cell, ...]:
    """Refuse a verb of fulfillment orders in all states that have no cell."""
    found = {cell.state: cell for cell in cells}
    return tuple(found.get(each, Cell(each, refused=Status.VERB_NOT_ALLOWED)) for each in FulfillmentState)


def _goes_on(state: FulfillmentState) -> tuple[Meanwhile, ...]:
    """Say where a fulfillment order is that has less to do, but something."""
    if state is not FulfillmentState.PICKING:
        return (Meanwhile(_ASSIGNED, state),)
    picked = Meanwhile((FulfillmentStage.PICKED,), FulfillmentState.PICKED)
    return Meanwhile((FulfillmentStage.OPEN,), state), picked


def _less(states: Iterable[FulfillmentState], then: FulfillmentState) -> Iterable[Cell]:
    """Say what becomes of a fulfillment order that has less to do: without anything, what it did last says it."""
    state, stage = FulfillmentState, FulfillmentStage
    shipped, collected = Meanwhile((stage.SHIPPED,), state.SHIPPED), Meanwhile((stage.COLLECTED,), state.COLLECTED)
    done = {each: collected if each is state.READY_FOR_PICKUP else shipped for each in states}
    return [Cell(each, then, meanwhile=(*_goes_on(each), done[each])) for each in states]


def _fulfillment_verbs() -> tuple[VerbRow, ...]:
    state, verb, stage, action = FulfillmentState, FulfillmentVerb, FulfillmentStage, FulfillmentAction
    picked = [Cell(each, state.PICKED, meanwhile=(Meanwhile((stage.OPEN,), state.PICKING),)) for each in _TO_BE_PACKED]
    put_back = (state.SHIPPED, state.DELIVERED, state.COLLECTED, state.REJECTED, state.CANCELLED, state.NOT_COLLECTED)
    return (
        VerbRow(verb.CREATE, (Cell(None, state.OPEN),), (action.ASSIGN,), needs_lines=True),
        VerbRow(verb.ACCEPT, _allowed(_in((state.OPEN,), state.ACCEPTED)), sweeps=True),
        VerbRow(verb.START_PICKING, _allowed(_in((state.OPEN, state.ACCEPTED), state.PICKING)), sweeps=True),
        VerbRow(verb.PICK, _allowed(picked), (action.PICK,), rest=(action.PICK,)),
        VerbRow(
            verb.PACK, _allowed(_in((*_TO_BE_PACKED, state.PICKED), state.PACKED)), rest=(action.PICK,), sweeps=True
        ),
        VerbRow(
            verb.MAKE_READY,
            _allowed(_in(_AT_THE_SHELF, state.READY_FOR_PICKUP)),
            rest=(action.PICK,),
            sweeps=True,
            methods=_ARE_COLLECTED,
        ),
        VerbRow(
            verb.SHIP,
            _allowed(Cell(each, state.SHIPPED, meanwhile=_goes_on(each)) for each in _AT_THE_SHELF),
            (action.SHIP,),
            rest=(action.SHIP,),
            methods=_TRAVEL,
        ),
        VerbRow(verb.DELIVER, _allowed(_in((state.SHIPPED,), state.DELIVERED)), sweeps=True),
        VerbRow(
            verb.COLLECT,
            _allowed(
                [
                    Cell(
                        state.READY_FOR_PICKUP,
                        state.COLLECTED,
                        meanwhile=(Meanwhile(_ASSIGNED, state.READY_FOR_PICKUP),),
                    )
                ]
            ),
            (action.COLLECT,),
            rest=(action.COLLECT,),
        ),
        VerbRow(verb.REJECT, _allowed(_less(_AT_THE_SHELF, state.REJECTED)), (action.REJECT,), rest=(action.REJECT,)),
        VerbRow(verb.SHORT_PICK, _allowed(_less(_LIVE, state.REJECTED)), (action.MISS,), needs_lines=True),
        VerbRow(verb.CANCEL, _allowed(_less(_LIVE, state.CANCELLED)), (action.CANCEL,), rest=(action.CANCEL,)),
        VerbRow(
            verb.GIVE_UP_PICKUP,
            _allowed(_in((state.READY_FOR_PICKUP,), state.NOT_COLLECTED)),
            rest=(action.CANCEL,),
            sweeps=True,
        ),
        VerbRow(verb.PUT_BACK, _allowed(_in((*_LIVE, *put_back))), (action.PUT_BACK,), rest=(action.PUT_BACK,)),
    )


def _fulfillment_order() -> DocumentRow:
    state, stage, action = FulfillmentState, FulfillmentStage, FulfillmentAction
    left = (stage.REJECTED, stage.MISSING, stage.CANCELLED, stage.TO_PUT_BACK)
    work = (*_ASSIGNED, stage.SHIPPED, *left)
    pickup = (stage.PICKED, stage.COLLECTED, *left)
    return DocumentRow(
        DocumentKind.FULFILLMENT_ORDER,
        Operation.ADVANCE_FULFILLMENT,
        states=(
            *(StateRow(each, work, _ASSIGNED) for each in (state.OPEN, state.ACCEPTED, state.PICKING)),
            *(StateRow(each, work, _ASSIGNED) for each in (state.PICKED, state.PACKED)),
            StateRow(state.READY_FOR_PICKUP, pickup, (stage.PICKED,)),
            *(
                StateRow(each, (stage.SHIPPED, *left), (stage.SHIPPED,), has_ended=True)
                for each in (state.SHIPPED, state.DELIVERED)
            ),
            StateRow(state.COLLECTED, (stage.COLLECTED, *left), (stage.COLLECTED,), has_ended=True),
            StateRow(state.REJECTED, left, (stage.REJECTED, stage.MISSING), has_ended=True),
            StateRow(state.CANCELLED, left, (stage.CANCELLED, stage.TO_PUT_BACK), has_ended=True),
            StateRow(state.NOT_COLLECTED, (stage.COLLECTED, *left), has_ended=True),
        ),
        verbs=_fulfillment_verbs(),
        ways=(
            Way(action.ASSIGN, None, stage.OPEN, Kind.ASSIGN, Place.SOURCE, of_order=True),
            Way(action.PICK, stage.OPEN, stage.PICKED, Kind.PLAN, Place.SOURCE),
            Way(action.SHIP, stage.PICKED, stage.SHIPPED, Kind.FULFILL, Place.SOURCE, Needs.THERE),
            Way(action.SHIP, stage.OPEN, stage.SHIPPED, Kind.FULFILL, Place.SOURCE, Needs.THERE),
            Way(action.COLLECT, stage.PICKED, stage.COLLECTED, Kind.FULFILL, Place.SOURCE, Needs.THERE),
            Way(action.REJECT, stage.OPEN, stage.REJECTED, Kind.UNASSIGN, Place.SOURCE, of_order=True),
            Way(action.REJECT, stage.PICKED, stage.REJECTED, Kind.UNASSIGN, Place.SOURCE, of_order=True),
            Way(action.MISS, stage.OPEN, stage.MISSING, Kind.CANCEL_ASSIGNED, Place.SOURCE, are_missing=True),
            Way(action.MISS, stage.PICKED, stage.MISSING, Kind.CANCEL_ASSIGNED, Place.SOURCE, are_missing=True),
            Way(action.CANCEL, stage.OPEN, stage.CANCELLED, Kind.CANCEL_ASSIGNED, Place.SOURCE),
            Way(action.CANCEL, stage.PICKED, stage.TO_PUT_BACK, Kind.CANCEL_ASSIGNED, Place.SOURCE),
            Way(action.PUT_BACK, stage.TO_PUT_BACK, stage.CANCELLED, Kind.PLAN, Place.SOURCE),
        ),
        held=_ASSIGNED,
    )


DOCUMENTS: Final = (_transfer(), _fulfillment_order())

# ---- by number -------------------------------------------------------------------------------------------------------

NUMBERS: Final = 16
"""States, verbs, actions and kinds are below it."""
WAYS_MAX: Final = 2
"""Ways of one action."""
REST_MAX: Final = 2
MEANWHILE_MAX: Final = 3
# Fields of a way.
WAY_SOURCE: Final = 0
WAY_TARGET: Final = 1
WAY_MOVEMENT: Final = 2
WAY_PLACE: Final = 3
WAY_NEEDS: Final = 4
WAY_COMMITS: Final = 5
WAY_OF_ORDER: Final = 6
WAY_IS_MISSING: Final = 7
WAY_FIELDS: Final = 8

assert tuple(row.kind for row in DOCUMENTS) == tuple(DocumentKind)
STATES: Final[Mapping[int, type[IntEnum]]] = {row.kind: type(row.states[0].state) for row in DOCUMENTS}
"""The states of each kind."""
VERBS: Final[Mapping[int, type[IntEnum]]] = {row.kind: type(row.verbs[0].verb) for row in DOCUMENTS}
OPERATION_OF: Final[Mapping[int, Operation]] = {row.kind: row.operation for row in DOCUMENTS}


def mask_of(values: Iterable[int]) -> int:
    """Return values of an enum as bits."""
    return sum(1 << value for value in values)


def _table(*shape: int) -> NDArray[np.int32]:
    return np.zeros((max(DocumentKind) + 1, *shape), np.int32)


STATUS: Final = _table(NUMBERS, NUMBERS)
"""By kind, state and verb: the Status that refuses it, or OK."""
THEN: Final = _table(NUMBERS, NUMBERS)
WHILE_ANY: Final = _table(NUMBERS, NUMBERS, MEANWHILE_MAX)
"""By kind, state and verb: bits of stages, with units in one of which the state is that of MEANWHILE."""
MEANWHILE: Final = _table(NUMBERS, NUMBERS, MEANWHILE_MAX)
REST: Final = _table(NUMBERS, REST_MAX)
"""By kind and verb: actions, 0 where there are no more."""
SWEEPS: Final = _table(NUMBERS)
ACTIONS: Final = _table(NUMBERS)
"""By kind and verb: bits of what lines may say."""
NEEDS_LINES: Final = _table(NUMBERS)
METHODS: Final = _table(NUMBERS)
"""By kind and verb: bits of the methods whose documents have it, 0 for all."""
DOUBTS: Final = _table(NUMBERS)
"""By kind and action: whether the stock level at the source has to be counted then."""
WAYS: Final = _table(NUMBERS, WAYS_MAX, WAY_FIELDS)
WAY_COUNT: Final = _table(NUMBERS)
HAS_ENDED: Final = _table(NUMBERS)
STAGES_ALLOWED: Final = _table(NUMBERS)
STAGES_NEEDED: Final = _table(NUMBERS)
HELD_STAGES: Final = _table()
"""By kind: bits of the stages whose units are committed."""
TRANSIT_STAGES: Final = _table()


def _fill(row: DocumentRow) -> None:
    kind = int(row.kind)
    for verb in row.verbs:
        for cell in verb.cells:
            at = kind, int(cell.state or NOTHING), int(verb.verb)
            STATUS[at] = cell.refused
            THEN[at] = cell.then or NOTHING
            for place, each in enumerate(cell.meanwhile):
                WHILE_ANY[(*at, place)], MEANWHILE[(*at, place)] = mask_of(each.any_in), each.state
        REST[kind, verb.verb, : len(verb.rest)] = verb.rest
        SWEEPS[kind, verb.verb] = verb.sweeps
        ACTIONS[kind, verb.verb] = mask_of(verb.actions)
        NEEDS_LINES[kind, verb.verb] = verb.needs_lines
        METHODS[kind, verb.verb] = mask_of(verb.methods)
    for way in row.ways:
        place = int(WAY_COUNT[kind, way.action])
        WAYS[kind, way.action, place] = (
            way.source or NOTHING,
            way.target,
            way.movement,
            way.place,
            way.needs,
            way.commits,
            way.of_order,
            way.are_missing,
        )
        WAY_COUNT[kind, way.action] += 1
        DOUBTS[kind, way.action] |= way.are_missing or way.movement == Kind.UNEXPECTED
    for state in row.states:
        HAS_ENDED[kind, state.state] = state.has_ended
        STAGES_ALLOWED[kind, state.state] = mask_of(state.stages)
        STAGES_NEEDED[kind, state.state] = mask_of(state.needs_some_in)
    HELD_STAGES[kind] = mask_of(row.held)
    TRANSIT_STAGES[kind] = mask_of(row.in_transit)


def _numbers(row: DocumentRow) -> Iterable[Any]:
    yield from (state.state for state in row.states)
    yield from (verb.verb for verb in row.verbs)
    yield from (way.action for way in row.ways)


def allowed_verbs(kind: int, state: int, method: int, stages: Collection[int] | None = None) -> list[int]:
    """Return the verbs that a document in a state has, CREATE aside.

    Without those that find no units, where it is told which stages have some.
    """
    (row,) = (row for row in DOCUMENTS if row.kind == kind)
    sources = {verb.verb: {way.source for way in row.ways if way.action in verb.actions} for verb in row.verbs}
    return [
        int(verb.verb)
        for verb in row.verbs
        if verb.verb != CREATE
        and (not verb.methods or method in verb.methods)
        and any(cell.state == state and cell.refused == Status.OK for cell in verb.cells)
        and (stages is None or verb.sweeps or not sources[verb.verb].isdisjoint(stages))
    ]


for _row in DOCUMENTS:
    assert max(_numbers(_row)) < NUMBERS
    assert max(int(way.target) for way in _row.ways) <= STAGES
    # every cell is there once
    assert len({verb.verb for verb in _row.verbs}) == len(_row.verbs)
    for _verb in _row.verbs:
        _states = [] if _verb.verb == CREATE else sorted(each.state for each in _row.states)
        assert sorted(cell.state for cell in _verb.cells if cell.state is not None) == _states, _verb
        assert (None in [cell.state for cell in _verb.cells]) == (_verb.verb == CREATE)
        assert all((cell.then is None) == (cell.refused != Status.OK) for cell in _verb.cells)
    for _way in _row.ways:
        # the accounts of a movement are those of the stages
        _moved = ROW_OF[_way.movement]
        _from, _to = _row.account_of(_way.source), _row.account_of(_way.target)
        if _way.of_order:  # the order holds them at the other end, committed as well
            assert {_from, _to} == {None, Account.COMMITTED}
            assert _moved.source == _moved.target is None
        elif _from == _to:  # whatever moves stays where it is
            assert not {_moved.source, _moved.target} & {Account.COMMITTED, Account.TRANSIT}
        else:
            assert _from is None or _moved.source == _from
            assert _to is None or _moved.target == _to
            assert _from is not None or _moved.source not in (Account.COMMITTED, Account.TRANSIT)
            assert _to is not None or _moved.target not in (Account.COMMITTED, Account.TRANSIT)
        assert _moved.source != Account.FREE or _way.needs == Needs.FREE
        assert not _way.commits or _moved.target == Account.FREE
    _fill(_row)
for _array in (STATUS, THEN, WHILE_ANY, MEANWHILE, REST, SWEEPS, ACTIONS, NEEDS_LINES, WAYS, WAY_COUNT, HAS_ENDED):
    _array.setflags(write=False)
for _array in (STAGES_ALLOWED, STAGES_NEEDED, HELD_STAGES, TRANSIT_STAGES, METHODS, DOUBTS):
    _array.setflags(write=False)

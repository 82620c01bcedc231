"""What can come of a command: one enum whose order is the precedence (the lowest applying status wins)."""

from enum import IntEnum


class Status(IntEnum):
    """Outcome of a command. Order: idempotency, argument, lookup, state, limit."""

    OK = 0
    # idempotency
    REQUEST_ID_REUSED = 1
    REQUEST_ID_TOO_OLD = 2
    # argument
    VALIDATION_FAILED = 10
    # lookup
    WRONG_SHARD = 19
    SKU_NOT_FOUND = 20
    LOCATION_NOT_FOUND = 21
    RESERVATION_NOT_FOUND = 22
    NOT_STOCKED_HERE = 23
    DOCUMENT_NOT_FOUND = 24
    # state
    SKU_ALREADY_EXISTS = 30
    LOCATION_ALREADY_EXISTS = 31
    RESERVATION_EXPIRED = 32
    RESERVATION_NOT_ACTIVE = 33
    RESERVATION_NOT_COMMITTED = 34
    VERSION_MISMATCH = 35
    LOCATION_INACTIVE = 36
    DOCUMENT_NOT_BEGUN = 37
    DOCUMENT_ENDED = 38
    VERB_NOT_ALLOWED = 39
    # limit
    TOO_MANY_LINES = 40
    QUANTITY_EXCEEDS_OPEN = 41
    INSUFFICIENT_STOCK = 42


class ReservationState(IntEnum):
    """Life of a reservation; the values are those of the wire."""

    ACTIVE = 1
    COMMITTED = 2
    RELEASED = 3
    EXPIRED = 4
    FULFILLED = 5  # was committed, nothing of it is open any more, and something was fulfilled
    CANCELLED = 6  # the same, and nothing was


class Operation(IntEnum):
    """What a command does."""

    RESERVE = 1
    COMMIT = 2
    RELEASE = 3
    EXTEND = 4
    AMEND = 5
    TRANSFER = 6
    FULFILL = 7
    CANCEL = 8
    RECORD_MOVEMENTS = 9
    SET_ON_HAND = 10
    SET_POLICY = 11
    CHANGE_CATALOG = 12
    EXPIRE = 13  # never asked for: the ledger's own, when a hold's instant has come
    REMEMBER = 14  # changes nothing: a seq of its own, and memory of what a call was told that was decided elsewhere
    ADVANCE = 15  # one verb of a document: ledger.core.documents; of a transfer, or of a kind that has none of its own
    REPLACE = 16  # RESERVE under the id of a hold, whose units are free for it
    ADVANCE_FULFILLMENT = 17  # ADVANCE of a fulfillment order


class Kind(IntEnum):
    """What one line of a movement moves, from one account to another.

    The accounts of a stock level are FREE, RESERVED, COMMITTED and one for each unavailable reason; outside stand
    SUPPLIER, CUSTOMER, SHRINKAGE, TRANSIT and UNEXPLAINED of each sku. Every kind takes from one and gives to another,
    so the accounts of a sku sum to zero (double entry).
    """

    RESERVE = 1  # FREE -> RESERVED
    COMMIT = 2  # RESERVED -> COMMITTED
    RELEASE = 3  # RESERVED -> FREE
    EXPIRE = 4  # RESERVED -> FREE
    FULFILL = 5  # COMMITTED -> CUSTOMER
    CANCEL = 6  # COMMITTED -> FREE
    COMMIT_FREE = 7  # FREE -> COMMITTED, when a committed line grows or arrives
    RECEIVE = 8  # SUPPLIER -> FREE
    SALE = 9  # FREE -> CUSTOMER
    RETURN = 10  # CUSTOMER -> FREE, or the unavailable account of a reason
    ADJUST = 11  # SHRINKAGE -> FREE, signed
    MARK_UNAVAILABLE = 12  # FREE -> unavailable
    MARK_AVAILABLE = 13  # unavailable -> FREE
    WRITE_OFF = 14  # unavailable -> SHRINKAGE
    TRANSFER_OUT = 15  # FREE -> TRANSIT
    TRANSFER_IN = 16  # TRANSIT -> FREE
    COUNT = 17  # SHRINKAGE -> FREE, signed
    SET_SAFETY_STOCK = 18  # moves nothing: the quantity is the new safety stock
    SET_BACKORDER_LIMIT = 19  # moves nothing: the quantity is the new backorder limit
    STOCK_HERE = 20  # moves nothing: the stock level begins to exist
    HELD_OUT = 21  # COMMITTED -> TRANSIT, of units that a transfer held
    TRANSFER_SHORT = 22  # TRANSIT -> SHRINKAGE, of units that did not arrive
    TRANSFER_FOUND = 23  # SHRINKAGE -> FREE, of units that were short
    UNEXPECTED = 24  # UNEXPLAINED -> FREE, of units that arrived and nobody sent
    PLAN = 25  # moves nothing: units of a document's line change their stage
    DOCUMENT = 26  # moves nothing: the quantity is a field of a document that begins, `reason` says which
    ASSIGN = 27  # moves nothing: units that an order held are held by its document from now on
    UNASSIGN = 28  # the way back
    CANCEL_ASSIGNED = 29  # COMMITTED -> FREE, of units that a document held for its order
    MISSING = 30  # FREE -> SHRINKAGE, of units that somebody looked for


class Unavailable(IntEnum):
    """Why units on hand may not be sold; the values are those of the wire."""

    DAMAGED = 1
    QUALITY_HOLD = 2
    QUARANTINE = 3
    DISPLAY = 4
    RETURN_INSPECTION = 5


class DocumentKind(IntEnum):
    """What has a life of its own, as a table says: ledger.core.documents."""

    TRANSFER = 1
    FULFILLMENT_ORDER = 2


class TransferState(IntEnum):
    """Life of a transfer; the values are those of the wire."""

    DRAFT = 1
    READY = 2
    IN_TRANSIT = 3
    PARTIALLY_RECEIVED = 4
    RECEIVED = 5
    CLOSED = 6
    CANCELLED = 7


class TransferVerb(IntEnum):
    """What can be done with a transfer."""

    CREATE = 1
    DISPATCH = 2
    RECEIVE = 3
    CLOSE = 4
    FIND = 5
    CANCEL = 6


class TransferStage(IntEnum):
    """Where the units of a transfer's line are: each column of its quantities."""

    PLANNED = 1  # to be dispatched, from free stock of then
    HELD = 2  # to be dispatched, committed at the source
    IN_TRANSIT = 3
    RECEIVED = 4
    UNAVAILABLE = 5  # received, but not for sale
    SHORT = 6
    RETURNED = 7  # back at the source
    FOUND = 8  # short at first
    UNEXPECTED = 9  # received, and sent by nobody
    WITHDRAWN = 10  # not dispatched after all


class TransferAction(IntEnum):
    """What a line of a verb says of its units."""

    PLAN = 1
    HOLD = 2
    SEND = 3
    ACCEPT = 4
    SET_ASIDE = 5
    LOSE = 6
    ADD = 7
    FIND = 8
    FIND_AT_SOURCE = 9
    RETURN = 10
    WITHDRAW = 11


class FulfillmentMethod(IntEnum):
    """How units of an order come to the customer; the values are those of the wire."""

    SHIP = 1
    PICKUP = 2
    SHIP_TO_STORE = 3
    DELIVERY = 4


class FulfillmentState(IntEnum):
    """Life of a fulfillment order; the values are those of the wire."""

    OPEN = 1
    ACCEPTED = 2
    PICKING = 3
    PICKED = 4
    PACKED = 5
    READY_FOR_PICKUP = 6
    SHIPPED = 7
    DELIVERED = 8
    COLLECTED = 9
    REJECTED = 10
    CANCELLED = 11
    NOT_COLLECTED = 12


class FulfillmentVerb(IntEnum):
    """What can be done with a fulfillment order; the values are those of the wire, CREATE aside."""

    CREATE = 1
    ACCEPT = 2
    START_PICKING = 3
    PICK = 4
    PACK = 5
    MAKE_READY = 6
    SHIP = 7
    DELIVER = 8
    COLLECT = 9
    REJECT = 10
    SHORT_PICK = 11
    CANCEL = 12
    GIVE_UP_PICKUP = 13
    PUT_BACK = 14


class FulfillmentStage(IntEnum):
    """Where the units of a fulfillment order's line are: each column of its quantities."""

    OPEN = 1  # to be picked, committed at the location
    PICKED = 2  # committed still
    SHIPPED = 3
    COLLECTED = 4
    REJECTED = 5  # the order's own hold has them again
    MISSING = 6  # not found, or unfit, when they were to be picked
    CANCELLED = 7  # nobody wants them any more, and they are on the shelf
    TO_PUT_BACK = 8  # nobody wants them any more, and they were picked


class FulfillmentAction(IntEnum):
    """What a line of a verb says of its units."""

    ASSIGN = 1
    PICK = 2
    SHIP = 3
    COLLECT = 4
    REJECT = 5
    MISS = 6
    CANCEL = 7
    PUT_BACK = 8


# Where one of them is stored, 0 stands for none; and nothing is in the way of OK.
assert all(min(each) > 0 for each in (ReservationState, Operation, Kind, Unavailable, DocumentKind))
assert int(min(Status)) == int(Status.OK) == 0

"""A kind of movement that callers may record: units that are thrown away."""

from extending import Edit, Toy

TOY = Toy(
    heading="A kind of movement",
    edits=(
        Edit(
            "ledger/core/statuses.py",
            """    MISSING = 30  # FREE -> SHRINKAGE, of units that somebody looked for
""",
            """    DISPOSE = 31  # FREE -> SHRINKAGE
""",
        ),
        Edit(
            "ledger/core/movements.py",
            """    MovementRow(Kind.MISSING, FREE, SHRINKAGE, "MISSING"),
""",
            """    MovementRow(Kind.DISPOSE, FREE, SHRINKAGE, "DISPOSE", is_recordable=True),
""",
        ),
        Edit(
            "ledger/oracle/facts.py",
            """    Kind.TRANSFER_OUT: Recordable(Account.FREE, Account.TRANSIT, arrives=True),
""",
            """    Kind.DISPOSE: Recordable(Account.FREE, Account.SHRINKAGE),
""",
        ),
        Edit(
            "proto/onhand/inventory/v1/stock.proto",
            """  MOVEMENT_TYPE_MISSING = 20;
""",
            """  // Free stock to shrinkage, of units that were thrown away: a fact, always accepted.
  MOVEMENT_TYPE_DISPOSE = 21;
""",
        ),
        Edit(
            "proto/onhand/client/results.py",
            """    MISSING = 20
""",
            """    DISPOSE = 21
""",
        ),
        Edit(
            "proto/onhand/client/commands.py",
            """        MovementType.WRITE_OFF,
        MovementType.TRANSFER,
    }
""",
            """        MovementType.DISPOSE,
""",
            "before",
        ),
    ),
    tests=(
        Edit(
            "tests/ledger_properties/journal_book.py",
            """    Kind.RECEIVE: ("supplier", "free"),
""",
            """    Kind.DISPOSE: ("free", "shrinkage"),
""",
        ),
    ),
    test='''
"""A kind of movement: by call, by the client's bulk path, in the history."""

import onhand.client
from extending.lives import lives
from onhand.client import MovementType, NewMovement


def write(client):
    client.sku("MILK")
    client.location("X")
    client.receive("MILK", "X", 9)
    client.move("DISPOSE", "MILK", "X", 2)
    with onhand.client.Client(client.address) as own:
        own.record_movements([NewMovement(MovementType.DISPOSE, "MILK", "X", 3)])


def check(client):
    assert client.level("MILK", "X").on_hand == 4
    with onhand.client.Client(client.address) as own:
        told = [(each.type, each.quantity) for each in own.list_movements(sku_id="MILK")]
    assert told == [(MovementType.RECEIVE, 9), (MovementType.DISPOSE, 2), (MovementType.DISPOSE, 3)]


def test_it_is_recorded(tmp_path):
    lives(tmp_path, write, check)
''',
)

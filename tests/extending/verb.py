"""A verb of transfers that moves stock: what is in transit turns back, and the transfer ends."""

from extending import Edit, Toy

SERVICE = "proto/onhand/inventory/v1/transfer_service.proto"

TOY = Toy(
    heading="A verb of a document",
    most=9,
    edits=(
        Edit(
            "ledger/core/statuses.py",
            """    FIND = 5
    CANCEL = 6
""",
            """    TURN_BACK = 7
""",
        ),
        Edit(
            "ledger/core/documents.py",
            """            rest=(action.RETURN, action.WITHDRAW),
            sweeps=True,
        ),
""",
            """        VerbRow(
            verb.TURN_BACK,
            (*too_early, *_in(_BEGUN, state.CANCELLED), *too_late),
            rest=(action.RETURN, action.WITHDRAW),
            sweeps=True,
        ),
""",
        ),
        Edit(
            "ledger/oracle/forms.py",
            """        always(TransferState.CANCELLED), rest=(TransferAction.RETURN, TransferAction.WITHDRAW), sweeps=True
    ),
""",
            """    TransferVerb.TURN_BACK: Rule(
        always(TransferState.CANCELLED),
        of_drafts=False,
        rest=(TransferAction.RETURN, TransferAction.WITHDRAW),
        sweeps=True,
    ),
""",
        ),
        Edit(
            SERVICE,
            """  // Reads one transfer.
  rpc GetTransfer(""",
            """  // Ends a transfer that was dispatched: what is on the way goes back to the source, what was not dispatched is withdrawn.
  rpc TurnBackTransfer(TurnBackTransferRequest) returns (TurnBackTransferResponse);
""",
            "before",
        ),
        Edit(
            SERVICE,
            """// Request of GetTransfer.
""",
            """// Request of TurnBackTransfer.
message TurnBackTransferRequest {
  // The transfer.
  string transfer_id = 1;
  // The version that the caller saw; 0 for any.
  int64 expected_version = 2;
  // Makes a repeat of this call harmless; a UUID, empty for none.
  string request_id = 3;
  // The caller's reference, at most 64 bytes of UTF-8; kept in the history.
  string reference = 4;
  // Who did it, at most 64 bytes of UTF-8; kept in the history.
  string actor = 5;
}

// Response of TurnBackTransfer.
message TurnBackTransferResponse {
  // State after this call.
  TransferState state = 1;
  // Version after this call.
  int64 version = 2;
  // Position of this write in the ledger's order.
  int64 seq = 3;
}

""",
            "before",
        ),
        Edit(
            "proto/onhand/inventory/v1/bulk_service.proto",
            """  COMMAND_OPERATION_CANCEL_TRANSFER = 26;
""",
            """  // TurnBackTransfer.
  COMMAND_OPERATION_TURN_BACK_TRANSFER = 27;
""",
        ),
        Edit(
            "proto/onhand/inventory/v1/bulk_service.proto",
            """CLOSE_TRANSFER 0. Lines of the""",
            """CLOSE_TRANSFER 0.
  // TURN_BACK_TRANSFER 0. Lines of the""",
            "instead",
        ),
        Edit(
            "proto/onhand/client/commands.py",
            """    CANCEL_TRANSFER = 26
""",
            """    TURN_BACK_TRANSFER = 27
""",
        ),
        Edit(
            "proto/onhand/client/async_calls.py",
            """    async def record_found_units(
""",
            """    async def turn_back_transfer(
        self, transfer_id: str, *, expected_version: int = 0, **options: Unpack[WriteOptions]
    ) -> TransferChanged:
        \"\"\"End a transfer that was dispatched: what is on the way goes back. Raises as `receive_transfer`.\"\"\"
        call = transfers.plain_verb(transfer_service.TurnBackTransferRequest, transfer_id, expected_version, options)
        return await self._call(call, options.get("deadline_seconds"))

""",
            "before",
        ),
        Edit(
            "engine/operate/transfers.py",
            """@transfer_app.command()
def found(""",
            """@transfer_app.command()
def turn_back(  # noqa: PLR0917 - each is an argument or a flag
    transfer_id: Id,
    expected_version: Version = 0,
    reference: Reference = "",
    actor: Actor = "",
    address: Address = ADDRESS_DEFAULT,
    as_json: AsJson = None,
) -> None:
    \"\"\"End a transfer that was dispatched: what is on the way goes back to the source.\"\"\"
    with engine_client(address) as client:
        done = client.turn_back_transfer(
            transfer_id, expected_version=expected_version, reference=reference, actor=actor
        )
    show(as_shown(done), as_json, f"Turned back {transfer_id}")


""",
            "before",
        ),
        Edit(
            "docs/transfers.md",
            """| cancel | written off | in transit |""",
            """| turn back | | in transit; held, planned | returned; withdrawn | transit, or committed → free stock, at the source |
""",
            "before",
        ),
    ),
    test='''
"""A verb: by call, by the client, as a column, by command, with its refusals, and on both ledgers (test_documents.py)."""

import json
import os

import numpy as np
import onhand.client
import pytest
from engines import run_forked
from extending.lives import lives
from onhand.client import CommandColumns, DocumentEnded, DocumentNotBegun, Operation, TransferState


def write(client):
    client.sku("MUG")
    client.location("X", "Y")
    client.receive("MUG", "X", 10)
    with onhand.client.Client(client.address) as own:
        made = own.create_transfer("X", "Y", [("MUG", 6)])
        with pytest.raises(DocumentNotBegun):
            own.turn_back_transfer(made.transfer_id)
        own.dispatch_transfer(made.transfer_id, [("MUG", 4)])
        done = own.turn_back_transfer(made.transfer_id, expected_version=2)
        assert (done.state, done.version) == (TransferState.CANCELLED, 3)
        with pytest.raises(DocumentEnded):
            own.turn_back_transfer(made.transfer_id)
        other = own.create_transfer("X", "Y", [("MUG", 1)])
        own.dispatch_transfer(other.transfer_id)
        third = own.create_transfer("X", "Y", [("MUG", 1)])
        own.dispatch_transfer(third.transfer_id)
        number = np.array([int(third.transfer_id, 16)], np.uint64)
        columns = CommandColumns([Operation.TURN_BACK_TRANSFER], line_counts=[0], reservation_ids=number)
        done = own.execute(columns)
        assert (done.statuses.tolist(), done.transfer_states.tolist()) == ([1], [TransferState.CANCELLED])
    run = run_forked(["transfer", "turn-back", other.transfer_id, "--address", client.address, "--json"], dict(os.environ))
    assert json.loads(run.stdout)["state"] == "CANCELLED", run.stderr


def check(client):
    assert client.level("MUG", "X").on_hand == 10
    with onhand.client.Client(client.address) as own:
        ended = list(own.list_transfers())
        assert [each.state for each in ended] == [TransferState.CANCELLED] * 3
        assert (ended[0].lines[0].returned, ended[0].lines[0].withdrawn) == (4, 2)


def test_a_transfer_turns_back(tmp_path):
    lives(tmp_path, write, check)
''',
)

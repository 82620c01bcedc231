"""`onhand transfer`: transfers of stock between locations, through a running engine."""

from typing import Annotated, Any, Final

import typer

from engine.operate.documents import (
    UNITS_HELP,
    Actor,
    NamedUnits,
    Reference,
    Units,
    Version,
    as_shown,
    engine_client,
    instant_us,
    one_of,
    units_in,
)
from engine.operate.terminal import ADDRESS_DEFAULT, Address, AsJson, show, show_rows
from ledger.core.statuses import TransferState, Unavailable

transfer_app = typer.Typer(help="Move stock between locations; see docs/transfers.md.", no_args_is_help=True)

STATES: Final = [state.name for state in TransferState]
REASONS: Final = [reason.name for reason in Unavailable]

Id = Annotated[str, typer.Argument(help="Transfer id.")]
SafetyStock = Annotated[bool, typer.Option("--use-safety-stock", help="Take units that the source keeps back, too.")]


@transfer_app.command()
def create(  # noqa: PLR0917 - each is an argument or a flag
    from_location: Annotated[str, typer.Argument(help="The source.")],
    to_location: Annotated[str, typer.Argument(help="The destination.")],
    units: NamedUnits,
    hold: Annotated[bool, typer.Option("--hold", help="Commit the units at the source until they leave.")] = False,
    order: Annotated[str, typer.Option(help="Reservation of the order that the units are for.")] = "",
    due: Annotated[str, typer.Option(help="When it should arrive, ISO 8601.")] = "",
    use_safety_stock: SafetyStock = False,
    reference: Reference = "",
    actor: Actor = "",
    address: Address = ADDRESS_DEFAULT,
    as_json: AsJson = None,
) -> None:
    """Make a transfer; nothing moves before it is dispatched."""
    lines, due_time_us = units_in(units), instant_us(due, "--due")
    with engine_client(address) as client:
        made = client.create_transfer(
            from_location,
            to_location,
            lines,
            hold=hold,
            reservation_id=order,
            due_time_us=due_time_us,
            use_safety_stock=use_safety_stock,
            reference=reference,
            actor=actor,
        )
    show(as_shown(made), as_json, "Created")


@transfer_app.command()
def dispatch(  # noqa: PLR0917 - each is an argument or a flag
    transfer_id: Id,
    units: Units = None,
    use_safety_stock: SafetyStock = False,
    expected_version: Version = 0,
    reference: Reference = "",
    actor: Actor = "",
    address: Address = ADDRESS_DEFAULT,
    as_json: AsJson = None,
) -> None:
    """Send units of a transfer, or all that is left of it."""
    lines = units_in(units)
    with engine_client(address) as client:
        done = client.dispatch_transfer(
            transfer_id,
            lines,
            use_safety_stock=use_safety_stock,
            expected_version=expected_version,
            reference=reference,
            actor=actor,
        )
    show(as_shown(done), as_json, f"Dispatched {transfer_id}")


def _list_option(text: str) -> Any:
    return typer.Option(help=f"{text}: {UNITS_HELP}", metavar="SKU=UNITS")


@transfer_app.command()
def receive(  # noqa: PLR0917 - each is an argument or a flag
    transfer_id: Id,
    units: Units = None,
    unavailable: Annotated[list[str] | None, _list_option("Arrived, and not for sale")] = None,
    reason: Annotated[str, typer.Option(help=f"Why they are not: {', '.join(REASONS)}.")] = "DAMAGED",
    short: Annotated[list[str] | None, _list_option("Not arrived, and no more expected")] = None,
    unexpected: Annotated[list[str] | None, _list_option("Arrived, and sent by nobody")] = None,
    expected_version: Version = 0,
    reference: Reference = "",
    actor: Actor = "",
    address: Address = ADDRESS_DEFAULT,
    as_json: AsJson = None,
) -> None:
    """Receive units of a transfer, or all that is on the way."""
    why = one_of(REASONS, reason, "--reason")
    good, others = units_in(units), [units_in(words) for words in (unavailable, short, unexpected)]
    from onhand.client import UnavailableReason  # noqa: PLC0415 - the other commands start faster without it

    with engine_client(address) as client:
        done = client.receive_transfer(
            transfer_id,
            good,
            unavailable=others[0],
            unavailable_reason=UnavailableReason[why],
            short=others[1],
            unexpected=others[2],
            expected_version=expected_version,
            reference=reference,
            actor=actor,
        )
    show(as_shown(done), as_json, f"Received of {transfer_id}")


@transfer_app.command()
def close(  # noqa: PLR0917 - each is an argument or a flag
    transfer_id: Id,
    expected_version: Version = 0,
    reference: Reference = "",
    actor: Actor = "",
    address: Address = ADDRESS_DEFAULT,
    as_json: AsJson = None,
) -> None:
    """End a transfer that was dispatched: what is on the way is short."""
    with engine_client(address) as client:
        done = client.close_transfer(transfer_id, expected_version=expected_version, reference=reference, actor=actor)
    show(as_shown(done), as_json, f"Closed {transfer_id}")


@transfer_app.command()
def found(  # noqa: PLR0917 - each is an argument or a flag
    transfer_id: Id,
    units: NamedUnits,
    at_source: Annotated[bool, typer.Option("--at-source", help="They turned up at the source.")] = False,
    reference: Reference = "",
    actor: Actor = "",
    address: Address = ADDRESS_DEFAULT,
    as_json: AsJson = None,
) -> None:
    """Book units that were short and turned up."""
    lines = units_in(units)
    there, here = ([], lines) if at_source else (lines, [])
    with engine_client(address) as client:
        done = client.record_found_units(transfer_id, there, at_source=here, reference=reference, actor=actor)
    show(as_shown(done), as_json, f"Found of {transfer_id}")


@transfer_app.command()
def cancel(  # noqa: PLR0917 - each is an argument or a flag
    transfer_id: Id,
    written_off: Annotated[list[str] | None, _list_option("On the way, and not coming back")] = None,
    expected_version: Version = 0,
    reference: Reference = "",
    actor: Actor = "",
    address: Address = ADDRESS_DEFAULT,
    as_json: AsJson = None,
) -> None:
    """End a transfer: what is on the way goes back to the source."""
    lost = units_in(written_off)
    with engine_client(address) as client:
        done = client.cancel_transfer(
            transfer_id, written_off=lost, expected_version=expected_version, reference=reference, actor=actor
        )
    show(as_shown(done), as_json, f"Cancelled {transfer_id}")


@transfer_app.command("show")
def show_one(transfer_id: Id, address: Address = ADDRESS_DEFAULT, as_json: AsJson = None) -> None:
    """Show a transfer, and where its units are."""
    with engine_client(address) as client:
        transfer = client.get_transfer(transfer_id)
    show(as_shown(transfer), as_json, f"Transfer {transfer_id}")


@transfer_app.command("list")
def show_list(
    location: Annotated[str, typer.Option(help="Only those from or to this location.")] = "",
    state: Annotated[list[str] | None, typer.Option(help=f"Only those in this state: {', '.join(STATES)}.")] = None,
    due_before: Annotated[str, typer.Option(help="Only those that are due before this, ISO 8601.")] = "",
    address: Address = ADDRESS_DEFAULT,
    as_json: AsJson = None,
) -> None:
    """List transfers, those that ended lately included."""
    states = [one_of(STATES, word, "--state") for word in state or ()]
    due_before_us = instant_us(due_before, "--due-before")
    from onhand.client import TransferState as State  # noqa: PLC0415 - the other commands start faster without it

    with engine_client(address) as client:
        rows = [
            as_shown(each)
            for each in client.list_transfers(
                location_id=location, states=[State[name] for name in states], due_before_us=due_before_us
            )
        ]
    show_rows(rows, as_json, f"Transfers at {address}")

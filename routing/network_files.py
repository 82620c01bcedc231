"""A network from files: `network.toml` and CSV tables in one folder.

Files are UTF-8 (a byte order mark is tolerated); CSV has a header row and comma-separated fields; lists are separated
by "|". Amounts are decimals of the currency. Columns and tables in brackets are optional; an empty field of an optional
column is as if the column were not there.

- network.toml: version, currency, calendars.NAME = {weekdays = [1..7, 1 is Monday], [closed = [dates]]},
  [channels.NAME = [location groups]], [carriers.NAME = {calendar, [refuses = [restrictions]]}]
- locations.csv: location_id, latitude, longitude, calendar, [carrier], [methods (ship|pickup|ship_to_store|delivery;
  ship if empty)], [time_zone], [cut_off (HH:MM, or 24:00)], [handling_days], [units_per_day], [backlog_days_max],
  [handling_cost], [setup_cost], [pickup_cost], [performance_cost], [backlog_cost], [priority], [groups],
  [restrictions], [opens], [closes], [pickup_minutes (of opening time)], [active (true|false)]
- zones.csv: carrier, zone (1, 2, …), [km_max (empty: anywhere)], transit_days
- rates.csv: carrier, method (ship|delivery), zone, [above_grams], [to_grams (empty: any weight)], base, [per_kilogram]
- [lanes.csv]: from_location_id, to_location_id, base, [per_kilogram], days
- [skus.csv]: sku_id, [weight_milligrams], [restrictions], [unfilled_cost]
- [places.csv]: place, latitude, longitude
"""

import csv
import io
import tomllib
from collections.abc import Callable, Iterator
from datetime import date, time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from routing.calendars import END_OF_DAY, Calendar, Hours
from routing.errors import Problems, RoutingInputError
from routing.limits import (
    AMOUNT_MAX,
    BACKLOG_DAYS_MAX,
    HANDLING_DAYS_MAX,
    MICROS,
    PICKUP_MINUTES_MAX,
    STEPS_MAX,
    TRANSIT_DAYS_MAX,
    UNITS_PER_ORDER_MAX,
    WEIGHT_MILLIGRAMS_MAX,
    ZONES_MAX,
)
from routing.network import Carrier, Lane, Location, Network, Sku, Zone, check
from routing.rates import RateTable, Step, problems_of
from routing.rules import Method

METHODS: Final = {method.name.lower(): method for method in Method}
WEEK: Final = 7
Value = TypeVar("Value")


class Column(NamedTuple):
    """One column of a table."""

    parse: Callable[[str], Any]
    """Raises ValueError that says what was expected."""
    default: Any = None
    is_required: bool = False


class Row(NamedTuple):
    """One row of a table, parsed."""

    where: str
    """The file and the line."""
    values: dict[str, Any]


# ---- fields ----------------------------------------------------------------------------------------------------------


def _text(value: str) -> str:
    return value


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return number

    return parse


def _decimal(least: float, most: float) -> Callable[[str], Decimal]:
    def parse(value: str) -> Decimal:
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = Decimal("NaN")
        if not (number.is_finite() and least <= number <= most):
            raise ValueError(f"a number from {least:g} to {most:g}")
        return number

    return parse


def _degrees(most: int) -> Callable[[str], float]:
    parse = _decimal(-most, most)
    return lambda value: float(parse(value))


def _amount(value: str) -> int:
    return int((_decimal(0, AMOUNT_MAX // MICROS)(value) * MICROS).to_integral_value())


def _kilometers(value: str) -> float:
    return float(_decimal(0.001, 100_000)(value))


def _milligrams(value: str) -> int:
    return int(_decimal(0, 10**12)(value) * 1000)


def _clock(value: str) -> time:
    try:
        return time.fromisoformat(value)
    except ValueError:
        raise ValueError("a time of day, HH:MM") from None


def _closing_clock(value: str) -> time:
    return END_OF_DAY if value == "24:00" else _clock(value)


def _zone_name(value: str) -> str:
    if value not in available_timezones():
        raise ValueError('an IANA time zone, such as "Europe/Berlin"')
    return ZoneInfo(value).key


def _names(value: str) -> frozenset[str]:
    return frozenset(name.strip() for name in value.split("|") if name.strip())


def _methods(value: str) -> frozenset[Method]:
    names = _names(value.lower())
    if not names or not names <= METHODS.keys():
        raise ValueError(f"some of {'|'.join(METHODS)}")
    return frozenset(METHODS[name] for name in names)


def _parcel_method(value: str) -> Method:
    if value not in {"ship", "delivery"}:
        raise ValueError("ship or delivery")
    return METHODS[value]


def _truth(value: str) -> bool:
    if value not in {"true", "false"}:
        raise ValueError("true or false")
    return value == "true"


LOCATIONS: Final = {
    "location_id": Column(_text, is_required=True),
    "latitude": Column(_degrees(90), is_required=True),
    "longitude": Column(_degrees(180), is_required=True),
    "calendar": Column(_text, is_required=True),
    "carrier": Column(_text, ""),
    "methods": Column(_methods, frozenset({Method.SHIP})),
    "time_zone": Column(_zone_name, "UTC"),
    "cut_off": Column(_closing_clock, END_OF_DAY),
    "handling_days": Column(_whole(0, HANDLING_DAYS_MAX), 0),
    "units_per_day": Column(_whole(0, UNITS_PER_ORDER_MAX), None),
    "backlog_days_max": Column(_whole(0, BACKLOG_DAYS_MAX), 0),
    "handling_cost": Column(_amount, 0),
    "setup_cost": Column(_amount, 0),
    "pickup_cost": Column(_amount, 0),
    "performance_cost": Column(_amount, 0),
    "backlog_cost": Column(_amount, 0),
    "priority": Column(_whole(-(2**31), 2**31 - 1), 0),
    "groups": Column(_names, frozenset()),
    "restrictions": Column(_names, frozenset()),
    "opens": Column(_clock, time(0)),
    "closes": Column(_closing_clock, END_OF_DAY),
    "pickup_minutes": Column(_whole(0, PICKUP_MINUTES_MAX), 60),
    "active": Column(_truth, default=True),
}
ZONES: Final = {
    "carrier": Column(_text, is_required=True),
    "zone": Column(_whole(1, ZONES_MAX), is_required=True),
    "km_max": Column(_kilometers, None),
    "transit_days": Column(_whole(0, TRANSIT_DAYS_MAX), is_required=True),
}
RATES: Final = {
    "carrier": Column(_text, is_required=True),
    "method": Column(_parcel_method, is_required=True),
    "zone": Column(_whole(1, ZONES_MAX), is_required=True),
    "above_grams": Column(_milligrams, 0),
    "to_grams": Column(_milligrams, None),
    "base": Column(_amount, is_required=True),
    "per_kilogram": Column(_amount, 0),
}
LANES: Final = {
    "from_location_id": Column(_text, is_required=True),
    "to_location_id": Column(_text, is_required=True),
    "base": Column(_amount, is_required=True),
    "per_kilogram": Column(_amount, 0),
    "days": Column(_whole(0, TRANSIT_DAYS_MAX), is_required=True),
}
SKUS: Final = {
    "sku_id": Column(_text, is_required=True),
    "weight_milligrams": Column(_whole(0, WEIGHT_MILLIGRAMS_MAX), 0),
    "restrictions": Column(_names, frozenset()),
    "unfilled_cost": Column(_amount, None),
}
PLACES: Final = {
    "place": Column(_text, is_required=True),
    "latitude": Column(_degrees(90), is_required=True),
    "longitude": Column(_degrees(180), is_required=True),
}


# ---- tables ----------------------------------------------------------------------------------------------------------


def read_network(folder: Path) -> Network:
    """Return the network of a folder, checked.

    Raises
    ------
    RoutingInputError
        Names the file, the line and the column of every problem (the first 20 of them).
    FileNotFoundError
        If network.toml or a table that is not optional is missing.
    """
    problems = Problems()
    settings = _read_toml(folder / "network.toml")
    locations = _rows(folder / "locations.csv", LOCATIONS, problems)
    zones = _rows(folder / "zones.csv", ZONES, problems)
    rates = _rows(folder / "rates.csv", RATES, problems)
    lanes = _rows(folder / "lanes.csv", LANES, problems, is_optional=True)
    skus = _rows(folder / "skus.csv", SKUS, problems, is_optional=True)
    places = _rows(folder / "places.csv", PLACES, problems, is_optional=True)
    calendars = _calendars(settings, problems)
    carriers = _carriers(settings, zones, rates, problems)
    by_lane = _unique(lanes, ("from_location_id", "to_location_id"), problems)
    network = Network(
        version=_setting(settings, "version", int, problems, 1),
        currency=_setting(settings, "currency", str, problems, ""),
        locations=tuple(_location(row) for row in _unique(locations, ("location_id",), problems).values()),
        calendars=calendars,
        carriers=carriers,
        lanes={key: _lane(row) for key, row in by_lane.items()},
        channels={name: frozenset(groups) for name, groups in settings.get("channels", {}).items()},
        skus={key[0]: _sku(row) for key, row in _unique(skus, ("sku_id",), problems).items()},
        places={key[0]: _point(row) for key, row in _unique(places, ("place",), problems).items()},
    )
    problems.raise_if_any()
    check(network, folder.name)
    return network


def _rows(path: Path, columns: dict[str, Column], problems: Problems, *, is_optional: bool = False) -> list[Row]:
    if is_optional and not path.exists():
        return []
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RoutingInputError(f"{path.name}: expected UTF-8: {error}.") from error
    reader = csv.DictReader(io.StringIO(text), strict=True)
    header = reader.fieldnames or []
    unknown = [name for name in header if name not in columns]
    missing = [name for name, column in columns.items() if column.is_required and name not in header]
    if unknown or missing:
        found = f"there is no column {', '.join(unknown)}" if unknown else f"expected a column {', '.join(missing)}"
        problems.add(f"{path.name} line 1: {found}; the columns are {', '.join(columns)}.")
        return []
    rows = [_row(f"{path.name} line {reader.line_num}", fields, columns, problems) for fields in reader]
    return [row for row in rows if row is not None]


def _row(where: str, fields: dict[str, Any], columns: dict[str, Column], problems: Problems) -> Row | None:
    """Return a row, or None if something is wrong with it."""
    before = problems.count
    if None in fields or None in fields.values():
        problems.add(f"{where}: expected as many fields as the header has columns.")
        return None
    values = {name: column.default for name, column in columns.items()}
    for name, text in fields.items():
        column, value = columns[name], text.strip()
        if not value and column.is_required:
            problems.add(f"{where}, column {name}: expected a value, was empty.")
        elif value:
            try:
                values[name] = column.parse(value)
            except ValueError as error:
                problems.add(f'{where}, column {name}: expected {error}, was "{value}".')
    return Row(where, values) if problems.count == before else None


def _unique(rows: list[Row], key: tuple[str, ...], problems: Problems) -> dict[tuple[Any, ...], Row]:
    found: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        names = tuple(row.values[name] for name in key)
        if names in found:
            told = ", ".join(map(str, names))
            problems.add(f"{row.where}, column {key[0]}: expected it once; {told} stands in {found[names].where} too.")
        found.setdefault(names, row)
    return found


def _location(row: Row) -> Location:
    values = dict(row.values)
    hours = Hours(values.pop("opens"), values.pop("closes"))
    return Location(is_active=values.pop("active"), hours=hours, **values)


def _lane(row: Row) -> Lane:
    return Lane(base=row.values["base"], per_kilogram=row.values["per_kilogram"], days=row.values["days"])


def _sku(row: Row) -> Sku:
    return Sku(**{name: row.values[name] for name in ("weight_milligrams", "restrictions", "unfilled_cost")})


def _point(row: Row) -> tuple[float, float]:
    return row.values["latitude"], row.values["longitude"]


# ---- carriers --------------------------------------------------------------------------------------------------------


def _carriers(settings: dict[str, Any], zones: list[Row], rates: list[Row], problems: Problems) -> dict[str, Carrier]:
    names = settings.get("carriers", {})
    for row in [*zones, *rates]:
        if row.values["carrier"] not in names:
            found = row.values["carrier"]
            problems.add(f'{row.where}, column carrier: expected a carrier of network.toml, was "{found}".')
    return {
        name: Carrier(
            calendar=str(content.get("calendar", "")),
            zones=tuple(_zones([row for row in zones if row.values["carrier"] == name], problems)),
            rates=_rates([row for row in rates if row.values["carrier"] == name], problems),
            refuses=frozenset(content.get("refuses", ())),
        )
        for name, content in names.items()
    }


def _zones(rows: list[Row], problems: Problems) -> Iterator[Zone]:
    rows.sort(key=lambda row: row.values["zone"])
    for number, row in enumerate(rows, start=1):
        if row.values["zone"] != number:
            problems.add(f"{row.where}, column zone: expected {number}, was {row.values['zone']}; zones count from 1.")
        yield Zone(km_max=row.values["km_max"], transit_days=row.values["transit_days"])


def _rates(rows: list[Row], problems: Problems) -> dict[Method, tuple[RateTable, ...]]:
    tables: dict[Method, dict[int, list[Row]]] = {}
    for row in rows:
        tables.setdefault(row.values["method"], {}).setdefault(row.values["zone"], []).append(row)
    return {method: tuple(_tables(by_zone, problems)) for method, by_zone in tables.items()}


def _tables(by_zone: dict[int, list[Row]], problems: Problems) -> Iterator[RateTable]:
    for number, zone in enumerate(sorted(by_zone), start=1):
        rows = sorted(by_zone[zone], key=lambda row: row.values["above_grams"])
        if zone != number:
            problems.add(f"{rows[0].where}, column zone: expected a rate of zone {number} before that of zone {zone}.")
        steps = tuple(_step(row) for row in rows)
        if len(steps) > STEPS_MAX:
            problems.add(f"{rows[0].where}: expected at most {STEPS_MAX} steps of one zone, was {len(steps)}.")
        for position, text in problems_of(steps):
            problems.add(f"{rows[position].where}, column {text}")
        yield RateTable(steps)


def _step(row: Row) -> Step:
    values = row.values
    return Step(values["above_grams"], values["to_grams"], values["base"], values["per_kilogram"])


# ---- network.toml ----------------------------------------------------------------------------------------------------


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RoutingInputError(f"{path.name}: expected TOML in UTF-8: {error}.") from error
    tables = {"calendars": dict, "channels": dict, "carriers": dict}
    for name, value in content.items():
        if name not in {"version", "currency", *tables}:
            raise RoutingInputError(f"{path.name}, {name}: there is no such field; remove it.")
        for entry in value.values() if name in tables and isinstance(value, dict) else ():
            expected = list if name == "channels" else dict
            if not isinstance(entry, expected):
                raise RoutingInputError(f"{path.name}, {name}: expected {expected.__name__} values, was {entry!r}.")
    return content


def _setting(settings: dict[str, Any], name: str, kind: type[Value], problems: Problems, default: Value) -> Value:
    value = settings.get(name)
    if isinstance(value, kind):
        return value
    problems.add(f"network.toml, {name}: expected {kind.__name__}, was {value!r}.")
    return default


def _calendars(settings: dict[str, Any], problems: Problems) -> dict[str, Calendar]:
    found = {}
    for name, content in settings.get("calendars", {}).items():
        where = f"network.toml, calendars.{name}"
        weekdays, closed = content.get("weekdays", []), content.get("closed", [])
        if not isinstance(weekdays, list) or not all(day in range(1, WEEK + 1) for day in weekdays):
            problems.add(f"{where}.weekdays: expected numbers from 1 (Monday) to {WEEK}, was {weekdays!r}.")
            weekdays = [1]
        if not isinstance(closed, list) or not all(type(day) is date for day in closed):
            problems.add(f"{where}.closed: expected dates, such as 2026-12-25, was {closed!r}.")
            closed = []
        found[name] = Calendar(name, frozenset(day - 1 for day in weekdays), frozenset(closed))
    return found

"""The folder of a routing network: what it says, put on top of what the engine has.

A folder has `network.toml`, the tables of `schema.NETWORK_TABLES`, and routing profiles as `profiles/*.toml`. The
network is replaced as a whole; of what it knows of locations and skus, an absent column leaves what is there.
"""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from onhand.inventory.v1 import catalog_pb2
from onhand.routing.v1 import network_pb2 as messages

from engine.load.catalog import Before, Change, TableFile, put_on_top, read_table, without_output
from engine.load.problems import Problems, Where, nearest, shown
from engine.load.reading import Reader, Row, Settings, read_settings
from engine.load.schema import (
    CAPABILITIES,
    LANES,
    METHODS,
    NETWORK,
    NETWORK_TABLES,
    PROFILE,
    RATES,
    REJECTION_DAYS,
    Table,
)
from routing.limits import STEPS_MAX
from routing.rates import Step, problems_of

NETWORK_FILE: Final = "network.toml"
PROFILES: Final = "profiles"
DATA_FILE: Final = re.compile(r"(\.csv|\.tsv|\.toml)(\.gz)?$", re.IGNORECASE)
MISSPELLED: Final = 0.8
"""How near a name is to one that it was meant to be, by difflib."""
BUILT_IN_PROFILE: Final = "standard"
UNIT_OF_NEW_SKUS: Final = "each"
PARCELS: Final = (METHODS["ship"], METHODS["delivery"])
COLLECTED: Final = (METHODS["pickup"], METHODS["ship_to_store"])
# Columns of locations that the contract calls otherwise; those of the catalog are not in the routing data.
ROUTING_FIELDS: Final = {
    "calendar": "calendar",
    "carrier": "carrier",
    "methods": "methods",
    "cut_off": "cut_off",
    "handling_days": "handling_days",
    "units_per_day": "units_per_day",
    "backlog_days_max": "backlog_days_max",
    "handling_cost": "handling_micros",
    "setup_cost": "setup_micros",
    "pickup_cost": "pickup_micros",
    "performance_cost": "performance_micros",
    "backlog_cost": "backlog_micros",
    "priority": "priority",
    "restrictions": "allowed_restrictions",
    "opens": "opens",
    "closes": "closes",
    "pickup_minutes": "pickup_minutes",
}
FILE_OF: Final = {
    "network": NETWORK_FILE,
    "network.lanes": "lanes.csv",
    "network.skus": "skus.csv",
    "network.places": "places.csv",
    "network.profiles": PROFILES,
    "locations": "locations.csv",
}
"""Part of the request of a network -> the file that says it, where no row does."""
CATALOG_FIELDS: Final[Sequence[str]] = ("latitude", "longitude", "time_zone", "active")
SKU_FIELDS: Final[Sequence[str]] = ("weight_milligrams", "restrictions")


@dataclass(frozen=True, slots=True)
class Folder:
    """The files of a network, each read by itself."""

    name: str
    settings: Settings
    locations: TableFile
    zones: TableFile
    rates: TableFile
    lanes: TableFile
    skus: TableFile
    places: TableFile
    profiles: Sequence[Settings]


@dataclass(slots=True)
class NetworkChange:
    """What a folder makes of the engine's network."""

    folder: str
    network: messages.Network
    locations: list[messages.LocationRouting]
    catalog_locations: list[Change[catalog_pb2.Location]]
    catalog_skus: list[Change[catalog_pb2.Sku]]
    places: dict[str, Where] = field(default_factory=dict)
    """Field of the request -> where it stands in the files."""


# ---- reading ---------------------------------------------------------------------------------------------------------


def read_folder(folder: Path, problems: Problems, besides: Collection[Path] = ()) -> Folder:
    """Read the files of a folder; those that are read besides may lie in it."""
    name = _resolved(folder).name

    settings = read_settings(folder / NETWORK_FILE, f"{name}/{NETWORK_FILE}", NETWORK, problems)
    paths = sorted((folder / PROFILES).glob("*.toml"))
    _refuse_unread(folder, besides, problems)
    tables = [_read_table(folder, name, table, problems) for table in NETWORK_TABLES]
    profiles = [read_settings(path, f"{name}/profiles/{path.name}", PROFILE, problems) for path in paths]
    return Folder(name, settings, **{f"{table.reader.table.name}": table for table in tables}, profiles=profiles)


def _read_table(folder: Path, folder_name: str, table: Table, problems: Problems) -> TableFile:
    path = _existing(folder / f"{table.name}.csv")
    name = f"{folder_name}/{path.name}"
    if table.is_optional and not _is_there(path):
        return TableFile(Reader(table, name, problems, [{} for _ in table.key]), [])
    if table is RATES:  # of rows that overlap more can be told than that they repeat each other
        reader = Reader(table, name, problems)
        return TableFile(reader, list(reader.rows(path)))
    return read_table(path, name, table, problems)


def _refuse_unread(folder: Path, besides: Collection[Path], problems: Problems) -> None:
    """Note each file that was meant to be one of a network's, by its name, and is none that is read."""
    read = [NETWORK_FILE, *(f"{table.name}.csv" for table in NETWORK_TABLES)]
    others = {*map(_resolved, besides)}
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        name = str(path.relative_to(folder))
        what = DATA_FILE.search(name)
        if not what or path.name.startswith(".") or _resolved(path) in others or path.is_dir():
            continue
        where = Where(f"{_resolved(folder).name}/{name}")
        plain = name.removesuffix(".gz")
        meant = re.sub(r"\.tsv$", ".csv", plain.lower())
        if what[1].lower() == ".toml" and name != NETWORK_FILE:
            if path.parent != folder / PROFILES or path.suffix != ".toml":
                problems.expected(where, f"{NETWORK_FILE} or {PROFILES}/NAME.toml", name)
        elif plain not in read and get_close_matches(meant, read, n=1, cutoff=MISSPELLED):
            problems.add(where, f"not a file of a network; {nearest(plain, read)}.")
        elif plain in read and plain != name and _is_there(folder / plain):
            problems.add(where, f"expected {plain} or {name}, was there beside {plain}.")


def _existing(path: Path) -> Path:
    """Return a file, or the gzipped one that is there instead."""
    packed = path.with_name(f"{path.name}.gz")
    return packed if _is_there(packed) and not _is_there(path) else path


def _is_there(path: Path) -> bool:
    """Tell whether a folder has a file, or a link that leads to none: that one is told when it is read."""
    return path.is_symlink() or path.exists()


def _resolved(path: Path) -> Path:
    """Return where a path leads; one that leads in a circle as it is."""
    return Path(os.path.realpath(path))


# ---- putting on top --------------------------------------------------------------------------------------------------


def change_of(folder: Folder, before: Before, problems: Problems) -> NetworkChange:
    """Return what a folder makes of the engine's network; notes what does not fit together."""
    change = NetworkChange(folder.name, messages.Network(), [], [], [])
    places = change.places
    places |= {part: Where(f"{folder.name}/{file}") for part, file in FILE_OF.items()}
    _put_settings(folder, before, change.network, places, problems)
    _put_carriers(folder, change.network, places, problems)
    _put_locations(folder, before, change, problems)
    _put_skus(folder, before, change)
    _put_lanes(folder, change.network, places, problems)
    for row in folder.places.rows:
        places[f"network.places[{len(change.network.places)}]"] = row.where
        change.network.places.add(
            name=row.given["place"], latitude=row.given["latitude"], longitude=row.given["longitude"]
        )
    return change


def _put_settings(
    folder: Folder, before: Before, network: messages.Network, places: dict[str, Where], problems: Problems
) -> None:
    given, where_of = folder.settings.given, folder.settings.where_of
    old = before.network or messages.Network(rejection_days=REJECTION_DAYS)
    network.currency = given.get("currency", "")
    network.rejection_days = given.get("rejection_days", old.rejection_days)
    places["network.currency"] = where_of("currency")
    for name, calendar in given.get("calendars", {}).items():
        places[f"network.calendars[{len(network.calendars)}]"] = where_of("calendars", name)
        network.calendars.add(name=name, weekdays=calendar.get("weekdays", ()), closed_dates=calendar.get("closed", ()))
    for name, groups in given.get("channels", {}).items():
        places[f"network.channels[{len(network.channels)}]"] = where_of("channels", name)
        network.channels.add(name=name, location_groups=sorted(groups))
    _put_profiles(folder, old, network, places, problems)


def _put_profiles(
    folder: Folder, old: messages.Network, network: messages.Network, places: dict[str, Where], problems: Problems
) -> None:
    """Take the profiles of the folder; if it has none, those of the engine stay."""
    first: dict[str, Where] = {}
    for profile in folder.profiles:
        name = profile.given.get("name", "")
        where = profile.where_of("name")
        if name and first.setdefault(name, where) is not where:
            problems.add(where, f"{name} is the name of {first[name].file} already.")
        places[f"network.profiles[{len(network.profiles)}]"] = where._replace(part="")
        network.profiles.append(profile_message(profile.given))
    if not folder.profiles:
        network.profiles.extend(old.profiles or [messages.RoutingProfile(name=BUILT_IN_PROFILE, version=1)])
    names = [profile.name for profile in network.profiles]
    default = folder.settings.given.get("default_profile")
    if default is None:
        network.default_profile = old.default_profile if old.default_profile in names else ""
        return
    network.default_profile = default
    if default not in names and all(profile.is_whole for profile in folder.profiles):
        problems.expected(folder.settings.where_of("default_profile"), f"one of {', '.join(names)}", default)


def default_profile(network: messages.Network) -> str:
    """Return the profile of orders that name none, name@version; empty if there is none."""
    for profile in network.profiles:
        if network.default_profile in ("", profile.name):
            return f"{profile.name}@{profile.version}"
    return ""


def profile_message(given: Mapping[str, Any]) -> messages.RoutingProfile:
    """Return a profile as the engine takes it."""
    rules = dict(given.get("rules", {}))
    message = messages.RoutingProfile(name=given.get("name", ""), version=given.get("version", 0))
    put_on_top(message, {f"{name}_weight": value for name, value in given.get("weights", {}).items()})
    put_on_top(message, {f"{name}_micros": value for name, value in given.get("costs", {}).items()})
    if "never_split_below" in rules:
        message.never_split_below_micros = rules.pop("never_split_below")
    for name in ("max_distance", "promise", "backorder"):
        rule = rules.pop(name, {})
        put_on_top(message, {name: rule["strength"]} if "strength" in rule else {})
        if "km" in rule:
            message.max_distance_km = rule["km"]
    put_on_top(message, rules)
    return message


def _has_name(folder: Folder, section: str, name: str) -> bool:
    """Tell whether network.toml names a calendar or carrier, or may do so where it could not be read."""
    settings = folder.settings
    if section not in settings.given and not settings.is_whole:
        return True
    return name in settings.given.get(section, {})


# ---- carriers --------------------------------------------------------------------------------------------------------


def _put_carriers(folder: Folder, network: messages.Network, places: dict[str, Where], problems: Problems) -> None:
    settings = folder.settings
    carriers = settings.given.get("carriers", {})
    for file in (folder.zones, folder.rates):
        for row in file.rows:
            if not _has_name(folder, "carriers", row.given["carrier"]):
                problems.expected(row.at("carrier"), f"a carrier of {NETWORK_FILE}", row.given["carrier"])
                file.reader.is_open = True  # this may be a row of any carrier
    for name, carrier in carriers.items():
        where = settings.where_of("carriers", name)
        path = f"network.carriers[{len(network.carriers)}]"
        places[path] = where
        if "calendar" in carrier and not _has_name(folder, "calendars", carrier["calendar"]):
            expected = f"a calendar of {NETWORK_FILE}"
            problems.expected(settings.where_of("carriers", name, "calendar"), expected, carrier["calendar"])
        message = network.carriers.add(
            name=name, calendar=carrier.get("calendar", ""), refused_restrictions=sorted(carrier.get("refuses", ()))
        )
        _put_zones(folder, where, message, path, places, problems)


def _put_zones(  # noqa: PLR0917 - all by position, one call site
    folder: Folder,
    where: Where,
    carrier: messages.Carrier,
    path: str,
    places: dict[str, Where],
    problems: Problems,
) -> None:
    """Append the zones of a carrier, each with its rates; nothing follows from rows that are wrong themselves."""
    rows = sorted(_of_carrier(folder.zones, carrier.name), key=lambda row: row.given["zone"])
    is_whole = folder.zones.reader.is_whole(carrier.name)
    if is_whole and not rows:
        problems.add(where, "expected at least one zone in zones.csv, found none.")
    if is_whole:
        _check_zones(rows, problems)
    for row in rows:
        places[f"{path}.zones[{len(carrier.zones)}]"] = row.where
        carrier.zones.add(km_max=row.given.get("km_max", 0.0), transit_days=row.given["transit_days"])
    for method, column in ((METHODS["ship"], "ship_rates"), (METHODS["delivery"], "delivery_rates")):
        rates = [row for row in _of_carrier(folder.rates, carrier.name) if row.given["method"] == method]
        is_rate_whole = folder.rates.reader.is_whole(carrier.name)
        by_zone: dict[int, list[Row]] = {}
        for row in rates:
            by_zone.setdefault(row.given["zone"], []).append(row)
        for number, (zone, steps) in enumerate(sorted(by_zone.items()), start=1):
            steps.sort(key=lambda row: row.given.get("above_grams", 0))
            if is_rate_whole:
                _check_steps(steps, number, len(rows) if is_whole else None, problems)
            if zone > len(carrier.zones):
                continue
            table = getattr(carrier.zones[zone - 1], column)
            for row in steps:
                places[f"{path}.zones[{zone - 1}].{column}[{len(table)}]"] = row.where
                table.add(
                    above_milligrams=row.given.get("above_grams", 0),
                    to_milligrams=row.given.get("to_grams", 0),
                    base_micros=row.given["base"],
                    per_kilogram_micros=row.given.get("per_kilogram", 0),
                )


def _of_carrier(file: TableFile, name: str) -> list[Row]:
    return [row for row in file.rows if row.given["carrier"] == name]


def _check_zones(rows: Sequence[Row], problems: Problems) -> None:
    for number, row in enumerate(rows, start=1):
        if row.given["zone"] != number:
            problems.add(row.at("zone"), f"expected {number}, was {row.given['zone']}; zones count from 1.")
    for near, far in pairwise(rows):
        reach = near.given.get("km_max")
        if reach is None:
            problems.add(near.at("km_max"), "expected a distance, was empty: only the last zone may go anywhere.")
        elif far.given.get("km_max", float("inf")) <= reach:
            problems.add(
                far.at("km_max"),
                f"expected more than {reach:g}, where zone {near.given['zone']} ends, was {far.given['km_max']:g}.",
            )


def _check_steps(rows: Sequence[Row], number: int, zone_count: int | None, problems: Problems) -> None:
    """Check the rates of one zone, which should have this number."""
    zone = rows[0].given["zone"]
    if zone != number:
        problems.add(rows[0].at("zone"), f"expected a rate of zone {number} before that of zone {zone}.")
    if zone_count is not None and zone > zone_count:
        problems.expected(rows[0].at("zone"), f"one of the carrier's {zone_count} zones of zones.csv", zone)
    if len(rows) > STEPS_MAX:
        problems.add(rows[0].where, f"expected at most {STEPS_MAX} rows of one zone, was {len(rows)}.")
    steps = [
        Step(
            row.given.get("above_grams", 0),
            row.given.get("to_grams"),
            row.given["base"],
            row.given.get("per_kilogram", 0),
        )
        for row in rows
    ]
    for position, text in problems_of(steps):
        column, told = text.split(": ", 1)
        problems.add(rows[position].at(column), told)


# ---- locations -------------------------------------------------------------------------------------------------------


def _put_locations(folder: Folder, before: Before, change: NetworkChange, problems: Problems) -> None:
    reader = folder.locations.reader
    if not folder.locations.rows and reader.is_whole():
        problems.add(Where(reader.name), "expected at least one location, found none.")
    for row in folder.locations.rows:
        name = row.given["location_id"]
        routing = messages.LocationRouting(location_id=name, methods=[METHODS["ship"]])
        if name in before.routing:
            routing.CopyFrom(before.routing[name])
        put_on_top(routing, {ROUTING_FIELDS[column]: row.given[column] for column in ROUTING_FIELDS & row.given.keys()})
        change.places[f"locations[{len(change.locations)}]"] = row.where
        change.locations.append(routing)
        _check_location(folder, row, routing, problems)
        change.catalog_locations.append(_catalog_location(row, before.locations.get(name), routing))


def _check_location(folder: Folder, row: Row, routing: messages.LocationRouting, problems: Problems) -> None:
    if not (row.given["latitude"] or row.given["longitude"]):  # also where only stores collect: nobody is there
        problems.add(row.at("latitude"), "expected where the location is, was 0, 0, which stand for not known.")
    if not _has_name(folder, "calendars", routing.calendar):
        problems.expected(row.at("calendar"), f"a calendar of {NETWORK_FILE}", routing.calendar)
    parcels = [method for method in routing.methods if method in PARCELS]
    if routing.carrier and not _has_name(folder, "carriers", routing.carrier):
        problems.expected(row.at("carrier"), f"a carrier of {NETWORK_FILE}", routing.carrier)
    elif parcels and not routing.carrier:
        problems.add(row.at("carrier"), f"expected a carrier for {_method_names(parcels)}, was empty.")
    elif folder.rates.reader.is_whole(routing.carrier):
        _check_methods(row, routing, parcels, folder.rates.rows, problems)


def _check_methods(
    row: Row, routing: messages.LocationRouting, parcels: Iterable[int], rates: Sequence[Row], problems: Problems
) -> None:
    offered = {rate.given["method"] for rate in rates if rate.given["carrier"] == routing.carrier}
    for method in parcels:
        if method not in offered:
            told = f"a rate of carrier {shown(routing.carrier)} for {_method_names([method])} in rates.csv"
            problems.add(row.at("methods"), f"expected {told}, found none.")


def _method_names(methods: Iterable[int]) -> str:
    return "|".join(name for name, method in METHODS.items() if method in set(methods))


def _catalog_location(
    row: Row, old: catalog_pb2.Location | None, routing: messages.LocationRouting
) -> Change[catalog_pb2.Location]:
    """Return what a row makes of the location in the catalog; what that says beside it stays."""
    if old is None:
        is_store = any(method in COLLECTED for method in routing.methods)
        kind = catalog_pb2.LOCATION_KIND_STORE if is_store else catalog_pb2.LOCATION_KIND_WAREHOUSE
        item = catalog_pb2.Location(location_id=routing.location_id, kind=kind, active=True)
    else:
        item = without_output(old)
    given: dict[str, Any] = {name: row.given[name] for name in CATALOG_FIELDS if name in row.given}
    if groups := set(row.given.get("groups", ())) - set(item.location_groups):
        given["location_groups"] = (*item.location_groups, *sorted(groups))
    if not item.capabilities:
        given["capabilities"] = capabilities_of(routing.methods)
    put_on_top(item, given)
    return Change(row.where, item, tuple(sorted(given)))


def capabilities_of(methods: Iterable[int]) -> tuple[int, ...]:
    """Return what the catalog calls what a location offers."""
    offered = set(methods)
    ships, hands_over = not offered.isdisjoint(PARCELS), not offered.isdisjoint(COLLECTED)
    return (*([CAPABILITIES["ship"]] if ships else []), *([CAPABILITIES["pickup"]] if hands_over else []))


# ---- the rest --------------------------------------------------------------------------------------------------------


def _put_skus(folder: Folder, before: Before, change: NetworkChange) -> None:
    unfilled = {item.sku_id: item.unfilled_micros for item in before.network.skus} if before.network else {}
    for row in folder.skus.rows:
        name = row.given["sku_id"]
        old = before.skus.get(name)
        item = without_output(old) if old else catalog_pb2.Sku(sku_id=name, base_unit=UNIT_OF_NEW_SKUS)
        given = {column: row.given[column] for column in SKU_FIELDS if column in row.given}
        put_on_top(item, given)
        change.catalog_skus.append(Change(row.where, item, tuple(sorted(given)) or ("display_name",)))
        cost = row.given.get("unfilled_cost", unfilled.get(name))
        if cost is not None:
            change.places[f"network.skus[{len(change.network.skus)}]"] = row.where
            change.network.skus.add(sku_id=name, unfilled_micros=cost)


def _put_lanes(folder: Folder, network: messages.Network, places: dict[str, Where], problems: Problems) -> None:
    for row in folder.lanes.rows:
        ends = row.given["from_location_id"], row.given["to_location_id"]
        for column, end in zip(LANES.key, ends, strict=True):
            if not folder.locations.reader.knows("location_id", end):
                problems.expected(row.at(column), f"a location of {folder.locations.reader.name}", end)
        places[f"network.lanes[{len(network.lanes)}]"] = row.where
        network.lanes.add(
            from_location_id=ends[0],
            to_location_id=ends[1],
            base_micros=row.given["base"],
            per_kilogram_micros=row.given.get("per_kilogram", 0),
            days=row.given["days"],
        )


def where_in_files(field_path: str, places: Mapping[str, Where]) -> tuple[Where, str] | None:
    """Return where the field that the engine names stands in the files, and the rest of its path."""
    for end in _ends(field_path):
        if where := places.get(field_path[:end]):
            return where, field_path[end:].lstrip(".")
    return None


def _ends(path: str) -> Iterator[int]:
    """Yield where the parts of a path end, from the longest."""
    yield len(path)
    for place in range(len(path) - 1, 0, -1):
        if path[place] in ".[":
            yield place

"""The routers of a book: what orders are routed over now, or were when a plan was made.

Making them anew takes as long as the network is large, so it happens beside the writer. A change of a few locations is
brought into what is there: every column is copied, and only theirs are written.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple

import msgspec
import numpy as np
from onhand.routing.v1 import network_pb2 as messages

from engine.api import fields
from engine.api.routing.networks import (
    read_location,
    read_network,
    read_profiles,
    read_rejection_days,
    read_unfilled,
    refusal_of,
    some,
)
from engine.errors import RefusedError, invalid
from engine.planner.records import Int64s, LevelRows, Names, level_rows
from engine.planner.run import Routing
from ledger.book import Book
from ledger.core import limits as ledger_limits
from ledger.core.limits import MICROSECONDS
from ledger.parts.catalog import Catalog
from ledger.parts.resources import Location as CatalogLocation
from ledger.parts.resources import LocationRouting
from ledger.parts.views import RoutedNetwork
from routing import limits
from routing import network as networks
from routing.errors import RoutingInputError
from routing.network import Location, Network, Sku
from routing.order import unfilled_cost
from routing.problem import Columns
from routing.profile import Profile, micros
from routing.strategies import Router

assert ledger_limits.WEIGHT_MILLIGRAMS_MAX == limits.WEIGHT_MILLIGRAMS_MAX  # what the catalog takes can be priced
CAUGHT_UP_MAX: Final = 32
"""Locations that are brought into routers that are there, in the writer; more are left to new ones."""
MADE_AT_ONCE_BYTES_MAX: Final = 64 * 1024
"""Network and locations that the writer may make routers of: milliseconds."""
LOCATION_BYTES: Final = 256
ROUTERS: Final = "routers"
COMING: Final = "routers that are being made"
UNUSABLE: Final = "why there are no routers"


class CatalogSkus(Mapping[str, Sku]):
    """The skus of a catalog as routing sees them, read when they are asked for."""

    def __init__(self, catalog: Catalog, unfilled: Mapping[str, int]) -> None:
        self._catalog = catalog
        self._unfilled = unfilled

    def __getitem__(self, sku_id: str) -> Sku:
        """Return a sku; raises KeyError for an unknown one."""
        known = self._catalog.sku(sku_id)
        if known is None:
            raise KeyError(sku_id)
        return Sku(
            weight_milligrams=min(known.weight_milligrams, limits.WEIGHT_MILLIGRAMS_MAX),
            restrictions=frozenset(known.restrictions),
            unfilled_cost=self._unfilled.get(sku_id),
        )

    def __iter__(self) -> Iterator[str]:
        """Yield the ids."""
        return (sku.sku_id for sku in self._catalog.skus)

    def __len__(self) -> int:
        """Skus there are."""
        return len(self._catalog.skus)


class Located(NamedTuple):
    """A location as the catalog has it, what routing knows of it, and the field that refusals name."""

    known: CatalogLocation
    routing: messages.LocationRouting
    field: str

    def read(self) -> Location:
        """Check it."""
        return read_location(self.routing, self.field, self.known)


def _read(
    message: messages.Network, located: Sequence[Located], catalog: Catalog
) -> tuple[int, dict[str, Profile], dict[str, int], Network]:
    """Check a network by itself; returns days of rejections, profiles, costs of unfilled units, and all else."""
    rejection_days, profiles, unfilled = read_rejection_days(message), read_profiles(message), read_unfilled(message)
    network = read_network(message, [one.read() for one in located], CatalogSkus(catalog, unfilled))
    return rejection_days, profiles, unfilled, network


class Routers:
    """A network, and a router for each of its profiles, made when it is first asked for.

    Parameters
    ----------
    message
        The network.
    located
        Its locations.
    indexes
        The ledger's index of each.
    catalog
        For the skus.
    version
        The catalog's routing version that it is of.

    Raises
    ------
    RefusedError
        Something does not fit; the message names the field.
    """

    def __init__(
        self, message: messages.Network, located: Sequence[Located], indexes: Int64s, catalog: Catalog, version: int
    ) -> None:
        self.rejection_days, self.profiles, self.unfilled, self.network = fields.in_full(
            _read, message, located, catalog
        )
        try:
            networks.check(self.network)
            networks.check_weights(self.network, self.profiles.values())
        except RoutingInputError as error:
            raise refusal_of(error) from error
        self.version = version
        self.location_indexes = indexes
        """Shape (locations of the network,): the ledger's index of each."""
        self.places = {index: place for place, index in enumerate(indexes.tolist())}
        """The ledger's index -> place in the network."""
        self._levels: LevelRows = level_rows(len(indexes))
        self._ids = [name.encode() for name in self.network.location_index]
        self._columns: dict[str, _ProfileColumns] = {}
        self._routings: dict[str, Routing] = {}

    @property
    def currency(self) -> str:
        """Of all amounts."""
        return self.network.currency

    def routing(self, profile: str, field: str = "profile") -> Routing:
        """Return the router of a profile, given as name or name@version; empty for the default."""
        found = self._routings.get(profile)
        return found or self._new_routing(profile, field)

    def _new_routing(self, text: str, field: str) -> Routing:
        name, _, version = text.partition("@")
        profile = self.profiles.get(name) if text else next(iter(self.profiles.values()))
        if profile is None or (version and version != str(profile.version)):
            raise invalid(field, f"one of {some(map(str, self.profiles.values()))}", text)
        routing = self._routings.get(profile.name)
        if routing is None:
            router = Router(self.network, profile, self._columns_of(profile))
            routing = self._routings[profile.name] = Routing(
                router,
                self._names(router),
                unfilled_cost=unfilled_cost(Sku(), profile),
                never_split_below=micros(profile.rules.never_split_below),
                shipments_max=profile.rules.max_shipments,
                is_complete=profile.rules.ship_complete,
            )
        self._routings[text] = routing
        return routing

    def _columns_of(self, profile: Profile) -> Columns:
        """Return the columns of a profile, as they are or brought up to date; made, if there are none."""
        kept = self._columns.get(profile.name)
        if kept is None:
            columns = Columns(self.network, profile)
        elif kept.changed:
            columns = kept.columns.with_locations(self.network, sorted(kept.changed))
        else:
            return kept.columns
        self._columns[profile.name] = _ProfileColumns(columns, frozenset())
        return columns

    def _names(self, router: Router) -> Names:
        encoded = [*self._ids, str(router.profile).encode(), self.currency.encode()]
        return Names(
            location=self.location_indexes,
            levels=self._levels,
            text=np.frombuffer(b"".join(encoded), np.uint8),
            start=np.cumsum([0, *map(len, encoded)]),
            network_version=self.network.version,
        )

    def with_locations(self, located: Sequence[Located], network_version: int, version: int) -> "Routers | None":
        """Return the routers of the network with some of its locations different; None if that is no small change.

        Raises
        ------
        RefusedError
            Something does not fit; the message names the field.
        """
        locations = list(self.network.locations)
        changed = [self.network.location_index[one.known.location_id] for one in located]
        given = fields.in_full(lambda: [one.read() for one in located])
        for place, one in zip(changed, given, strict=True):
            before, locations[place] = locations[place], one
            if before.restrictions != locations[place].restrictions:
                return None  # the bits of restrictions are those of all locations together
        network = msgspec.structs.replace(self.network, locations=tuple(locations), version=network_version)
        network.__dict__.update(self.network.__dict__)  # what was made of ids and restrictions is as it was
        network.__dict__["timetable"] = self.network.timetable.with_locations(network, changed)
        try:
            changed_locations = [locations[place] for place in changed]
            networks.check_locations(network, changed_locations)
            networks.check_weights(network, self.profiles.values(), changed_locations)
        except RoutingInputError as error:
            raise refusal_of(error) from error
        routers = self.beside()
        routers.network, routers.version = network, version
        routers._columns = {  # noqa: SLF001 - one of these
            name: _ProfileColumns(kept.columns, kept.changed | frozenset(changed))
            for name, kept in self._columns.items()
        }
        return routers

    def prepare(self, now: datetime) -> None:
        """Make what the writer would have to make for its first plan; also for next year's first."""
        for moment in (now, now.replace(year=now.year + 1, month=1, day=1)):
            self.network.timetable.at(moment)
        self.network.timetable.at(now)
        self.routing("")

    def beside(self) -> "Routers":
        """Return these routers for another thread: what a decision writes to is its own."""
        routers = Routers.__new__(Routers)
        routers.__dict__.update(self.__dict__)
        routers._columns, routers._routings = dict(self._columns), {}  # noqa: SLF001 - one of these
        return routers


class _ProfileColumns(NamedTuple):
    """Columns of one profile, and the places that have changed since."""

    columns: Columns
    changed: frozenset[int]


class Ingredients(NamedTuple):
    """What routers are made of; nothing of it changes any more."""

    routed: RoutedNetwork
    indexes: Int64s
    catalog: Catalog
    """For the skus, which are looked at when orders are."""
    version: int
    now: datetime


def ingredients_of(book: Book, routed: RoutedNetwork) -> Ingredients:
    """Return what the routers of a book, or of a view that it has, are made of."""
    index = book.ledger.location_index
    indexes = np.array([index(location.location_id) for location, _ in routed.locations], np.int64)
    now = datetime.fromtimestamp(book.ledger.time_us / MICROSECONDS, UTC)
    return Ingredients(routed, indexes, book.catalog, book.network.version, now)


def make_routers(given: Ingredients) -> Routers:
    """Make routers; any thread may.

    Raises
    ------
    RefusedError
        The network cannot be used: it was written by another release.
    """
    message = messages.Network.FromString(given.routed.network.content)
    message.version = given.routed.network.version
    located = [located_of(location, routing) for location, routing in given.routed.locations]
    routers = Routers(message, located, given.indexes, given.catalog, given.version)
    routers.prepare(given.now)
    return routers


def located_of(location: CatalogLocation, routing: LocationRouting) -> Located:
    """Return a location of the catalog."""
    content = messages.LocationRouting.FromString(routing.content)
    return Located(location, content, f"locations.{location.location_id}")


def current_network(book: Book) -> RoutedNetwork:
    """Return what routing reads of a book. Raises RefusedError if it has no network yet."""
    if book.network.current is None:
        raise no_network()
    return RoutedNetwork(book.network.current, list(book.network.routed_locations()))


class Unusable(NamedTuple):
    """Why a network of an earlier release cannot be routed over."""

    version: int
    error: BaseException


# ---- those of now ----------------------------------------------------------------------------------------------------


def are_routers_ready(book: Book, background: Executor) -> bool:
    """Tell whether `routers_of` has an answer at hand; if not, it is made beside the writer."""
    network = book.network
    kept = network.derived.get(ROUTERS)
    if kept is not None and kept.version == network.version:
        return True
    unusable: Unusable | None = network.derived.get(UNUSABLE)
    if unusable is not None and unusable.version == network.version:
        return True
    if network.current is None or (kept is not None and _catch_up(kept, book) is not None):
        return True
    coming: Future[Routers] | None = network.derived.get(COMING)
    if coming is None:
        given = ingredients_of(book, current_network(book))
        coming = network.derived[COMING] = background.submit(partial(make_routers, given))
    if not coming.done():
        return False
    del network.derived[COMING]
    if (error := coming.exception()) is not None:
        network.derived[UNUSABLE] = Unusable(network.version, error)
        return True  # whoever asks for them hears why
    network.derived[ROUTERS] = coming.result()
    return are_routers_ready(book, background)


def has_current_routers(book: Book) -> bool:
    """Tell whether `routers_of` has an answer at hand."""
    kept: Routers | None = book.network.derived.get(ROUTERS)
    return kept is not None and kept.version == book.network.version


def routers_of(book: Book) -> Routers:
    """Return the routers of a book.

    Raises
    ------
    RefusedError
        There is no network yet, or it is one of an earlier release that this one does not take.
    """
    network = book.network
    kept = network.derived.get(ROUTERS)
    if kept is not None and kept.version == network.version:
        assert isinstance(kept, Routers)
        return kept
    unusable: Unusable | None = network.derived.get(UNUSABLE)
    if unusable is not None and unusable.version == network.version:
        raise unusable.error
    found = None if kept is None else _catch_up(kept, book)
    if found is None:
        found = network.derived[ROUTERS] = make_routers(ingredients_of(book, current_network(book)))
    return found


def latest_routers(book: Book) -> Routers | None:
    """Return the routers of a book without making large ones: those of a moment ago, or none, while they are coming."""
    network = book.network.current
    if network is None:
        return None
    kept: Routers | None = book.network.derived.get(ROUTERS)
    is_small = len(network.content) + LOCATION_BYTES * len(book.network.location_routing) <= MADE_AT_ONCE_BYTES_MAX
    if not is_small and not has_current_routers(book):
        return kept
    try:
        return routers_of(book)
    except RefusedError:  # nobody can plan over it, and what is moved is counted all the same
        return kept


def _catch_up(kept: Routers, book: Book) -> Routers | None:
    """Bring the changes of a few locations into routers; None if more has changed."""
    network = book.network
    changed = network.changes_since(kept.version)
    if changed is None or len(changed) > CAUGHT_UP_MAX or network.current is None:
        return None
    located = []
    for name in sorted(changed):
        location = book.catalog.location(name)
        assert location is not None
        located.append(located_of(location, network.location_routing[name]))
    found = kept.with_locations(located, network.current.version, network.version)
    if found is not None:
        network.derived[ROUTERS] = found
    return found


def no_network() -> RefusedError:
    """Return the refusal of a call that needs a network, before there is one."""
    return RefusedError(
        "NETWORK_NOT_FOUND", "network: there is none yet; load one (`onhand load --network`, UpsertNetwork) first."
    )

"""Metrics: what the writer measures of each group, and what a scrape reads of it.

The writer works for it once a group, not once a call, and only observes histograms and adds to plain counters. All else
is read from the service when somebody scrapes, in a thread of the endpoint's own. No label ever has a value
that a client chose: not a sku, a location, a reservation or a request id.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import grpc
from onhand.admin.v1.admin_service_pb2 import ROLE_PRIMARY
from onhand.rules.reasons import REASONS
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from engine.admission import Admission
from engine.errors import RefusedError
from engine.transport import Call, Transport
from ledger.book import Book
from ledger.core.statuses import Status

STAGES: Final = ("receive", "decide", "durable", "reply")
SECONDS_BUCKETS: Final = (*(step * 10.0**power for power in range(-5, 0) for step in (1, 2.5, 5)), 1.0)
CALL_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Seconds of a call; few, since each method that is called has them."""
CALLS_BUCKETS: Final = tuple(4**power for power in range(9))
BYTES_BUCKETS: Final = tuple(256 * 4**power for power in range(10))
OVERLOADED: Final = "OVERLOADED"
_CODE_NAMES: Final[Mapping[int, str]] = {code.value[0]: code.name for code in grpc.StatusCode}

Reply: TypeAlias = tuple[Call, bytes | RefusedError]
"""A call and its answer; see `engine.api.desk.Reply`."""
Tally: TypeAlias = Mapping[tuple[int, float], int]
"""How many calls there were, by method and instant at which they were received: what came together has one instant."""


class Meter:
    """What the writer measures.

    Only the writer calls it; a scrape in another thread reads what stands there. Counts are since the engine started.

    Parameters
    ----------
    method_count
        Length of the table of methods.
    """

    def __init__(self, method_count: int) -> None:
        self.registry = CollectorRegistry()
        stage = Histogram(
            "onhand_group_stage_seconds",
            "Time of one group in each stage of the writer; receive includes waiting for a call.",
            ["stage"],
            registry=self.registry,
            buckets=SECONDS_BUCKETS,
        )
        self._stages = [stage.labels(name) for name in STAGES]
        self._group_calls = Histogram(
            "onhand_group_calls", "Calls of one group.", registry=self.registry, buckets=CALLS_BUCKETS
        )
        self._entry_bytes = Histogram(
            "onhand_journal_entry_bytes",
            "Bytes of one journal entry; a group that wrote nothing has none.",
            registry=self.registry,
            buckets=BYTES_BUCKETS,
        )
        self.ok_counts = [0] * method_count
        """Calls answered with OK, by method."""
        self.call_seconds = [CallSeconds() for _ in range(method_count)]
        """How long answered calls took, by method."""
        self.refused_counts: Counter[tuple[int, int]] = Counter()
        """Calls answered with another status, by method and gRPC code."""
        self.reason_counts = dict.fromkeys(REASONS, 0)
        """Refusals of calls, by reason."""

    def observe_group(self, call_count: int, marks: Sequence[float]) -> None:
        """Observe a group that had calls.

        Parameters
        ----------
        call_count
            Of the group.
        marks
            When the first of STAGES began, and when each ended, on time.perf_counter's scale.
        """
        self._group_calls.observe(call_count)
        for stage, began, ended in zip(self._stages, marks[:-1], marks[1:], strict=True):
            stage.observe(ended - began)

    def count_entry(self, payload_bytes: int) -> None:
        """Observe a journal entry."""
        self._entry_bytes.observe(payload_bytes)

    def count_replies(self, replies: Sequence[Reply]) -> Tally:
        """Count the answers to calls; returns what `observe_calls` takes once they have left."""
        tally = Counter([(call.method, call.received_at) for call, _ in replies])
        for (method, _), count in tally.items():
            self.ok_counts[method] += count
        for call, answer in replies:
            if isinstance(answer, RefusedError):
                self.ok_counts[call.method] -= 1
                self.refused_counts[call.method, answer.code] += 1
                self.reason_counts[answer.reason] += 1
        return tally

    def observe_calls(self, tally: Tally, now: float) -> None:
        """Observe how long calls took whose answers have left, on time.monotonic's scale."""
        for (method, received_at), count in tally.items():
            self.call_seconds[method].observe(now - received_at, count)


class CallSeconds:
    """A histogram of one method; a scrape makes of it what Prometheus reads."""

    def __init__(self) -> None:
        self.counts = [0] * (len(CALL_BUCKETS) + 1)
        """By bucket; not added up."""
        self.seconds = 0.0
        """Of all of them together."""

    def observe(self, seconds: float, count: int) -> None:
        """Add so many calls that took so long."""
        self.counts[bisect_left(CALL_BUCKETS, seconds)] += count
        self.seconds += seconds * count


class Reading(NamedTuple):
    """A metric that is one of GetStatus's figures."""

    name: str
    help: str
    field: str
    """Of GetStatusResponse."""


GAUGES: Final = (
    Reading("onhand_epoch", "Epoch of this writer; grows by one with each start.", "epoch"),
    Reading("onhand_seq_sequenced", "Last position given out.", "seq_sequenced"),
    Reading("onhand_seq_applied", "Last position applied in memory.", "seq_applied"),
    Reading("onhand_seq_durable", "Last position that is durable.", "seq_durable"),
    Reading("onhand_locations", "Known locations.", "location_count"),
    Reading("onhand_skus", "Known skus.", "sku_count"),
    Reading("onhand_stock_levels", "Stock levels.", "stock_level_count"),
    Reading("onhand_reservations_active", "Reservations in state ACTIVE.", "active_reservation_count"),
    Reading(
        "onhand_reservations_committed",
        "Reservations in state COMMITTED with units not yet fulfilled.",
        "committed_reservation_count",
    ),
    Reading(
        "onhand_reservations_ended",
        "Reservations that ended and can still be read.",
        "ended_reservation_count",
    ),
    Reading("onhand_transfers_open", "Transfers that have not ended.", "open_transfer_count"),
    Reading(
        "onhand_fulfillment_orders_open", "Fulfillment orders that have not ended.", "open_fulfillment_order_count"
    ),
    Reading(
        "onhand_fulfillment_orders_ended",
        "Fulfillment orders that ended and can still be read.",
        "ended_fulfillment_order_count",
    ),
    Reading("onhand_transfers_ended", "Transfers that ended and can still be read.", "ended_transfer_count"),
    Reading("onhand_request_ids", "Remembered request ids.", "request_id_count"),
    Reading("onhand_snapshot_seq", "Position of the newest snapshot; 0 if there is none.", "snapshot_seq"),
    Reading(
        "onhand_checkpoint_pause_seconds_max",
        "Longest time that a snapshot kept the writer waiting.",
        "checkpoint_pause_seconds_max",
    ),
    Reading(
        "onhand_journal_bytes_since_checkpoint",
        "Bytes of journal since the last snapshot: in the journal server's memory.",
        "journal_bytes_since_checkpoint",
    ),
    Reading("onhand_journal_server_used_bytes", "Memory of the journal server.", "journal_server_used_bytes"),
    Reading(
        "onhand_journal_server_limit_bytes",
        "Limit of the journal server's memory; 0 for none.",
        "journal_server_limit_bytes",
    ),
    Reading("onhand_waiting_calls", "Calls that wait for the writer.", "waiting_call_count"),
    Reading("onhand_waiting_bytes", "Bytes of the requests that wait for the writer.", "waiting_bytes"),
)
COUNTERS: Final = (
    Reading("onhand_journal_entries_total", "Entries appended to the journal.", "journal_entry_count"),
    Reading("onhand_journal_bytes_total", "Bytes appended to the journal.", "journal_entry_bytes"),
    Reading("onhand_journal_writes_total", "Writes appended to the journal.", "journal_write_count"),
    Reading(
        "onhand_calls_dropped_total",
        "Calls that nobody waited for when their turn came: cancelled, or past their deadline.",
        "dropped_call_count",
    ),
    Reading(
        "onhand_journal_backwards_total",
        "Times the journal server lost entries that were durable once.",
        "journal_backwards_count",
    ),
    Reading(
        "onhand_digests_compared_total",
        "Digests compared with the writer's; all were equal, else the engine stops.",
        "digests_compared_count",
    ),
    Reading("onhand_reservations_expired_total", "Holds that expired.", "expired_reservation_count"),
)


class Source(Protocol):
    """What a scrape reads, from a thread of its own; see `engine.service.Service`."""

    meter: Meter
    admission: Admission
    transport: Transport

    @property
    def book(self) -> Book:
        """Ledger and catalog."""

    @property
    def misses_journal(self) -> bool:
        """Whether the journal server does not do its part now."""

    @property
    def oversold_level_count(self) -> int:
        """Stock levels that are oversold, as last counted."""

    def free_bytes(self) -> int:
        """Bytes that the disk of the data folder has left."""

    def status(self) -> dict[str, Any]:
        """Positions, settings and measures, by field of GetStatusResponse."""


class Readings(Collector):
    """Reads the service when somebody scrapes.

    Parameters
    ----------
    source
        What is read.
    methods
        The table of methods: full paths.
    """

    def __init__(self, source: Source, methods: Sequence[str]) -> None:
        self._source = source
        self._method_names = [path.removeprefix("/") for path in methods]

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics that are not the meter's own histograms."""
        status = self._source.status()
        labels = {name: status[name] for name in ("version", "transport", "durability")}
        yield InfoMetricFamily("onhand_build", "What runs here; the value is 1.", value=labels)
        for reading in GAUGES:
            yield GaugeMetricFamily(reading.name, reading.help, value=status[reading.field])
        for reading in COUNTERS:
            yield CounterMetricFamily(reading.name, reading.help, value=status[reading.field])
        yield GaugeMetricFamily(
            "onhand_is_primary", "1 on the primary, 0 on a standby.", value=status["role"] == ROLE_PRIMARY
        )
        lags = [standby["lag"] for standby in status["standbys"]]
        yield GaugeMetricFamily("onhand_standbys", "Standbys that follow.", value=len(lags))
        yield GaugeMetricFamily(
            "onhand_standby_lag_max", "How many positions the last of them is behind.", value=max(lags, default=0)
        )
        yield GaugeMetricFamily(
            "onhand_calls_in_flight",
            "Calls that have come and whose answer has not left.",
            value=self._source.transport.in_flight_count(),
        )
        yield GaugeMetricFamily(
            "onhand_journal_away",
            "1 while the journal server does not do its part, so that nothing is acknowledged.",
            value=self._source.misses_journal,
        )
        yield GaugeMetricFamily(
            "onhand_oversold_levels",
            "Stock levels with units promised beyond what is there, as last counted.",
            value=self._source.oversold_level_count,
        )
        yield GaugeMetricFamily(
            "onhand_data_folder_free_bytes",
            "Bytes that the disk of the data folder has left.",
            value=self._source.free_bytes(),
        )
        yield self._calls()
        yield self._call_seconds()
        yield self._commands()
        yield self._refusals()

    def _calls(self) -> Metric:
        family = CounterMetricFamily(
            "onhand_calls_total", "Calls answered, by method and gRPC code.", labels=["method", "code"]
        )
        meter = self._source.meter
        for name, count in zip(self._method_names, meter.ok_counts, strict=True):
            family.add_metric([name, grpc.StatusCode.OK.name], count)
        refused = meter.refused_counts.copy()  # at once: the writer goes on counting
        for method, count in enumerate(self._source.admission.overloaded_counts):
            refused[method, REASONS[OVERLOADED].code.value[0]] += count
        for (method, code), count in refused.items():
            if count:
                family.add_metric([self._method_names[method], _CODE_NAMES[code]], count)
        return family

    def _call_seconds(self) -> Metric:
        family = HistogramMetricFamily(
            "onhand_call_seconds",
            "Time of an answered call, from when it was received until its answer was sent.",
            labels=["method"],
        )
        names = (*map(str, CALL_BUCKETS), "+Inf")
        for method, measured in zip(self._method_names, self._source.meter.call_seconds, strict=True):
            if any(measured.counts):
                family.add_metric(
                    [method], list(zip(names, accumulate(measured.counts), strict=True)), measured.seconds
                )
        return family

    def _commands(self) -> Metric:
        family = CounterMetricFamily(
            "onhand_commands_total",
            "Commands run, by status: those of unary calls, batches and bulk calls, and repeats.",
            labels=["status"],
        )
        for status in Status:
            family.add_metric([status.name], int(self._source.book.status_counts[status]))
        return family

    def _refusals(self) -> Metric:
        family = CounterMetricFamily("onhand_refusals_total", "Refused calls, by reason.", labels=["reason"])
        overloaded_count = sum(self._source.admission.overloaded_counts)
        for reason, count in self._source.meter.reason_counts.items():
            family.add_metric([reason], count + (overloaded_count if reason == OVERLOADED else 0))
        return family

"""Reading an engine's Prometheus endpoint."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import NamedTuple

from faults.processes import WAIT_SECONDS
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families


class Answer(NamedTuple):
    """What an endpoint answers to a path."""

    status: int
    text: str


class Scraper:
    """Scrapes one engine."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def answer(self, path: str) -> Answer:
        try:
            with urllib.request.urlopen(self.url + path, timeout=WAIT_SECONDS) as response:
                return Answer(response.status, response.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read().decode())

    def text(self) -> str:
        found = self.answer("/metrics")
        assert found.status == 200, found
        return found.text

    def families(self) -> list[Metric]:
        return list(text_string_to_metric_families(self.text()))

    def samples(self, start: str = "") -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Every series whose name has this start, by its name and sorted labels."""
        lines = (line for line in self.text().splitlines(keepends=True) if line.startswith(start))
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families("".join(lines))
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        return self.samples(name).get((name, tuple(sorted(labels.items()))), 0.0)

    def wait_for(self, is_there: Callable[["Scraper"], bool]) -> None:
        """Scrape until a condition holds."""
        until = time.monotonic() + WAIT_SECONDS
        while not is_there(self):
            assert time.monotonic() < until, self.text()

    def label_values(self) -> Iterator[str]:
        for family in self.families():
            for sample in family.samples:
                yield from sample.labels.values()

"""The HTTP endpoint beside gRPC: metrics for Prometheus, and probes for whoever starts engines and sends calls."""

import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import Any, Final, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics, make_wsgi_app

from engine.transport.aio_server import join_address

METRICS: Final = "/metrics"
PLAIN_TEXT: Final = (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"))


class Endpoint:
    """Answers in a thread of its own; a context manager.

    Parameters
    ----------
    host, port
        Where it listens.
    registry
        What it shows at /metrics, together with the process's own memory, CPU time and open files.
    probes
        What is told at other paths: 200 where it holds, 503 where not. Any path else is 404.

    Raises
    ------
    OSError
        The address cannot be bound; the message names it.
    """

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, probes: Mapping[str, Callable[[], bool]]
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # else each histogram has a gauge of its birth
        ProcessCollector(registry=registry)
        self._metrics = make_wsgi_app(registry)
        self._probes = probes
        try:
            self._server = make_server(host, port, self._answer, _server_type(host, port), _SilentHandler)
        except OSError as error:
            address = join_address(host, port)
            raise OSError(error.errno, f"metrics_port: cannot listen on {address}: {error.strerror}") from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="onhand-http", daemon=True)
        self._thread.start()

    def _answer(self, environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environment["PATH_INFO"]
        if path == METRICS:
            return self._metrics(environment, start)  # type: ignore[no-any-return]
        if path not in self._probes:
            known = ", ".join((METRICS, *self._probes))
            return _told(HTTPStatus.NOT_FOUND, f"expected one of {known}", start)
        holds = self._probes[path]()
        return _told(HTTPStatus.OK if holds else HTTPStatus.SERVICE_UNAVAILABLE, "yes" if holds else "no", start)

    def __enter__(self) -> Self:
        """Return it; it serves already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _told(status: HTTPStatus, text: str, start: StartResponse) -> Iterable[bytes]:
    start(f"{status.value} {status.phrase}", [*PLAIN_TEXT])  # a list of its own: the server adds to it
    return [f"{text}\n".encode()]


class _SilentHandler(WSGIRequestHandler):
    """Logs no requests."""

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


class _Server(ThreadingMixIn, WSGIServer):
    """One thread a request, so that a slow scrape does not hold up a probe."""

    daemon_threads = True


def _server_type(host: str, port: int) -> type[_Server]:
    """Return a server of the address family that a host has."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    return type("_ServerOfFamily", (_Server,), {"address_family": family})

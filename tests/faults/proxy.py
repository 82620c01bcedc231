"""A fault proxy between an engine and its journal server: TCP or unix sockets on this machine, cut and slowed at will.

One thread runs an event loop for all connections. Faults are asked for from any other thread; each call returns when
the fault is in force.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, Self

from .processes import HOST, WAIT_SECONDS

CHUNK_BYTES: Final = 64 * 1024
CONNECTIONS_MAX: Final = 64
DELAY_SECONDS_MAX: Final = 5.0

Place = int | Path
"""Where a socket is: a port of the loopback interface, or the path of a unix socket."""
TO_SERVER: Final = "to_server"
TO_ENGINE: Final = "to_engine"
BOTH: Final = (TO_SERVER, TO_ENGINE)


class _Pipe:
    """One connection through the proxy: two streams, pumped both ways until either ends or it is cut."""

    def __init__(self, proxy: "FaultProxy", near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._writers = (near, far)

    async def pump(self, direction: str, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """Pass bytes on, as the faults let them."""
        while chunk := await source.read(CHUNK_BYTES):
            await self._proxy.let_pass(direction)
            passed, is_last = self._proxy.shortened(direction, chunk)
            target.write(passed)
            await target.drain()
            if is_last:
                self._proxy.cut_all()
                return

    def cut(self) -> None:
        """End both sides at once, with a reset, as a machine that is gone would."""
        for writer in self._writers:
            writer.transport.abort()


class FaultProxy:
    """A proxy for one engine; a context manager.

    Parameters
    ----------
    target
        The journal server's socket.
    listen
        Where engines connect to; port 0 takes a free one, see `port`.
    """

    def __init__(self, target: Place, listen: Place = 0) -> None:
        self._target = target
        self._listen = listen
        self._pipes: set[_Pipe] = set()
        self._refuses = False
        self._delay_seconds = 0.0
        self._left: dict[str, int] = {}
        self._gates: dict[str, asyncio.Event]
        self._server: asyncio.Server
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self.port = 0
        self.cut_count = 0
        """Connections cut so far."""

    def __enter__(self) -> Self:
        self._thread.start()
        self._ask(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._ask(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # ---- faults ------------------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Cut all connections now; new ones are taken."""
        self._run(self.cut_all)

    def cut_after(self, byte_count: int, direction: str = TO_SERVER) -> None:
        """Cut all connections once so many more bytes went in a direction: in the middle of a command or a reply."""
        assert direction in BOTH
        self._run(lambda: self._left.update({direction: byte_count}))

    def pause(self, *directions: str) -> None:
        """Let nothing through, in both directions or only those named, and keep all connections."""
        self._run(lambda: self._pause(directions or BOTH))

    def resume(self) -> None:
        """Let everything through again, without delay."""
        self._run(self._resume)

    def delay(self, seconds: float) -> None:
        """Hold everything back for so long."""
        assert 0 <= seconds <= DELAY_SECONDS_MAX
        self._run(lambda: setattr(self, "_delay_seconds", seconds))

    def refuse(self, refuses: bool) -> None:
        """Take no new connections, and cut those there are; or take them again."""
        self._run(lambda: self._refuse(refuses))

    @property
    def is_cut_due(self) -> bool:
        """Whether a cut that was asked for with `cut_after` has not happened yet."""
        return bool(self._left)

    # ---- in the loop -------------------------------------------------------------------------------------------------

    async def let_pass(self, direction: str) -> None:
        """Wait as long as the faults want."""
        await self._gates[direction].wait()
        if self._delay_seconds:
            await asyncio.sleep(self._delay_seconds)

    def shortened(self, direction: str, chunk: bytes) -> tuple[bytes, bool]:
        """Return what of a chunk goes through, and whether the connections are cut then."""
        left = self._left.get(direction)
        if left is None:
            return chunk, False
        self._left[direction] = left - len(chunk)
        return chunk[:left], left <= len(chunk)

    def cut_all(self) -> None:
        """Cut all connections."""
        self._left.clear()
        self.cut_count += len(self._pipes)
        for pipe in self._pipes:
            pipe.cut()

    def _pause(self, directions: Sequence[str]) -> None:
        for direction in directions:
            self._gates[direction].clear()

    def _resume(self) -> None:
        self._delay_seconds = 0.0
        for gate in self._gates.values():
            gate.set()

    def _refuse(self, refuses: bool) -> None:
        self._refuses = refuses
        if refuses:
            self.cut_all()

    async def _start(self) -> None:
        self._gates = {direction: asyncio.Event() for direction in BOTH}
        self._resume()
        if isinstance(self._listen, Path):
            self._server = await asyncio.start_unix_server(self._serve, self._listen)
        else:
            self._server = await asyncio.start_server(self._serve, HOST, self._listen)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        self._resume()
        self.cut_all()
        while tasks := [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]:
            await asyncio.wait(tasks)

    async def _serve(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        """Carry one connection until it ends."""
        try:
            if self._refuses or len(self._pipes) >= CONNECTIONS_MAX:
                raise ConnectionRefusedError
            far_in, far_out = await self._dial()
        except OSError:
            near_out.transport.abort()
            return
        pipe = _Pipe(self, near_out, far_out)
        if self._refuses:  # since it was dialed
            pipe.cut()
            return
        self._pipes.add(pipe)
        try:
            await _first_end(pipe.pump(TO_SERVER, near_in, far_out), pipe.pump(TO_ENGINE, far_in, near_out))
        finally:
            pipe.cut()
            self._pipes.discard(pipe)

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection(HOST, self._target)

    # ---- from other threads ------------------------------------------------------------------------------------------

    def _run(self, fault: Callable[[], Any]) -> None:
        async def run() -> None:
            fault()

        self._ask(run())

    def _ask(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_SECONDS)


async def _first_end(*pumps: Coroutine[Any, Any, None]) -> None:
    """Run both pumps until one ends, in whatever way, and end the other."""
    tasks = [asyncio.ensure_future(pump) for pump in pumps]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

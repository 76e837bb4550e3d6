"""A TCP proxy between two of our processes, that can turn bad.

PASS       does its work
SLOW       hands on a few bytes at a time
FROZEN     takes everything, hands on nothing: a machine that hangs with its kernel alive
BLACKHOLE  its kernel takes nothing: a machine that is gone without a word, half open
RESET      resets what is open, and whoever comes
"""

import asyncio
import ctypes
import socket
import struct
import threading
from collections.abc import Coroutine
from enum import Enum, auto
from typing import Any, Self

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
BPF_RETURN = 0x06
SLOW_BYTES = 8
SLOW_PAUSE_SECONDS = 0.01


class Mode(Enum):
    PASS = auto()
    SLOW = auto()
    FROZEN = auto()
    BLACKHOLE = auto()
    RESET = auto()


def drop_everything(taker: socket.socket) -> None:
    """From now on the kernel drops what comes for this socket before TCP sees it, so that nothing
    is acknowledged: a filter that keeps 0 bytes (Linux, socket(7)). Needs no privilege."""
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", BPF_RETURN, 0, 0, 0))
    program = struct.pack("HP", 1, ctypes.addressof(instruction))
    taker.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def take_again(taker: socket.socket) -> None:
    taker.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)


class Conversation:
    """One connection through the proxy."""

    def __init__(self, taker: socket.socket, server: socket.socket, mode: Mode) -> None:
        self.taken = 0
        self._taker, self._server, self._mode = taker, server, mode
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        for one in (taker, server):
            one.setblocking(False)

    async def hold(self, upstream: tuple[str, int] | str) -> None:
        """Until one of the two goes, or it is reset."""
        try:
            if self._mode is Mode.RESET:
                # After its first bytes: a reset before them may be seen as a connect that failed.
                await self._loop.sock_recv(self._taker, 1)
            else:
                await self._loop.sock_connect(self._server, upstream)
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._hand_on(self._taker, self._server))
                    both.create_task(self._hand_on(self._server, self._taker))
        except* OSError:
            pass
        finally:
            if self._mode is Mode.RESET:
                # Closing with a linger time of 0 sends RST in place of FIN.
                linger = struct.pack("ii", 1, 0)
                self._taker.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._taker.close()
            self._server.close()

    def turn(self, mode: Mode) -> None:
        if mode is Mode.BLACKHOLE:
            drop_everything(self._taker)
        elif self._mode is Mode.BLACKHOLE:
            take_again(self._taker)
        if mode is Mode.RESET:
            # Both directions end by this, and so does the conversation.
            self._server.shutdown(socket.SHUT_RDWR)
        self._mode = mode
        self._changed.set()
        self._changed = asyncio.Event()

    async def _hand_on(self, source: socket.socket, sink: socket.socket) -> None:
        while data := await self._loop.sock_recv(source, 65536):
            if source is self._taker:
                self.taken += len(data)
            while self._mode is Mode.FROZEN:
                await self._changed.wait()
            while self._mode is Mode.SLOW and data:
                await self._loop.sock_sendall(sink, data[:SLOW_BYTES])
                data = data[SLOW_BYTES:]
                await asyncio.sleep(SLOW_PAUSE_SECONDS)
            await self._loop.sock_sendall(sink, data)
        raise ConnectionResetError


class Proxy:
    """Listens on loopback while it is entered. `upstream` is a TCP address or a socket's path.

    `accepted` counts the connections that came, `taken` the bytes from those who dialled.
    """

    def __init__(self, upstream: tuple[str, int] | str) -> None:
        self.accepted = 0
        self._taken_before = 0  # by connections that are over
        self._upstream = upstream
        self._mode = Mode.PASS
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._open: dict[asyncio.Task[None], Conversation] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def taken(self) -> int:
        return self._taken_before + sum(one.taken for one in self._open.values())

    @property
    def open(self) -> int:
        """Connections now."""
        return len(self._open)

    def turn(self, mode: Mode) -> None:
        """For whoever is connected and whoever comes. Returns when it is so."""
        self._do(self._turn(mode, also_new=True))

    def turn_open(self, mode: Mode) -> None:
        """For whoever is connected now: who comes is served."""
        self._do(self._turn(mode, also_new=False))

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _start(self) -> None:
        self._accepting = asyncio.create_task(self._accept())

    async def _stop(self) -> None:
        tasks = [self._accepting, *self._open]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listener.close()

    async def _turn(self, mode: Mode, *, also_new: bool) -> None:
        for conversation in self._open.values():
            conversation.turn(mode)
        if not also_new:
            return
        if mode is Mode.BLACKHOLE:
            drop_everything(self._listener)
        elif self._mode is Mode.BLACKHOLE:
            take_again(self._listener)
        self._mode = mode

    async def _accept(self) -> None:
        family = socket.AF_UNIX if isinstance(self._upstream, str) else socket.AF_INET
        while True:
            taker, _ = await self._loop.sock_accept(self._listener)
            self.accepted += 1
            conversation = Conversation(taker, socket.socket(family), self._mode)
            task = asyncio.create_task(conversation.hold(self._upstream))
            self._open[task] = conversation
            task.add_done_callback(self._over)

    def _over(self, task: "asyncio.Task[None]") -> None:
        self._taken_before += self._open.pop(task).taken

"""One load of a key at a time in this process: who comes meanwhile waits for it."""

import threading
from typing import Generic, TypeVar

Cargo = TypeVar("Cargo")


class Flight(Generic[Cargo]):
    """A load under way. Its leader lands it, with what it brings or with what went wrong."""

    def __init__(self) -> None:
        self._landed = threading.Event()
        self._cargo: Cargo | None = None
        self._error: BaseException | None = None

    def land(self, cargo: Cargo) -> None:
        self._cargo = cargo
        self._landed.set()

    def crash(self, error: BaseException) -> None:
        self._error = error
        self._landed.set()

    def wait(self, seconds: float) -> Cargo | None:
        """What it brought; None if it is still under way. Raises what went wrong."""
        if not self._landed.wait(seconds):
            return None
        if self._error is not None:
            raise self._error
        return self._cargo


class Flights(Generic[Cargo]):
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, Flight[Cargo]] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def board(self, key: str) -> tuple[Flight[Cargo], bool]:
        """The key's flight, and whether you lead it: then land it, and call `over`."""
        with self._lock:
            flight = self._under_way.get(key)
            if flight is not None:
                return flight, False
            self._under_way[key] = flight = Flight()
            return flight, True

    def over(self, key: str, flight: Flight[Cargo]) -> None:
        """Who comes now begins another one."""
        with self._lock:
            if self._under_way.get(key) is flight:
                del self._under_way[key]

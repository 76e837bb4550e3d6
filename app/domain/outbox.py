"""What waits for a reader that is slower than the stream: bounded, the oldest goes first."""

from collections import deque

MAX_MESSAGES = 256
MAX_BYTES = 1024 * 1024


class Outbox:
    """The queue of one reader. Messages that find no room push out the oldest; `dropped` counts
    them until somebody tells the reader so.

    The gap is always in front of the oldest that is left, so that is where it is to be told.
    """

    __slots__ = ("_bytes", "_max_bytes", "_max_messages", "_messages", "dropped")

    def __init__(self, max_messages: int = MAX_MESSAGES, max_bytes: int = MAX_BYTES) -> None:
        self._messages: deque[bytes] = deque()
        self._bytes = 0
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: bytes) -> None:
        """Add a message. One that is larger than all the room there is stays, alone."""
        self._messages.append(message)
        self._bytes += len(message)
        while len(self._messages) > 1 and (
            len(self._messages) > self._max_messages or self._bytes > self._max_bytes
        ):
            self._bytes -= len(self._messages.popleft())
            self.dropped += 1

    def take(self) -> bytes:
        """The oldest. Raises IndexError when there is none."""
        message = self._messages.popleft()
        self._bytes -= len(message)
        return message

    def take_dropped(self) -> int:
        """How many were dropped since somebody asked."""
        dropped, self.dropped = self.dropped, 0
        return dropped

"""The loop that serves all WebSockets of a process, with real sockets and a real client's side."""

import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import (
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    TextMessage,
)

from app.adapters.sockets import (
    MAX_MESSAGE_BYTES,
    MESSAGES_ALLOWED,
    PING_EVERY_SECONDS,
    SILENT_AFTER_SECONDS,
    Reader,
    SocketLoop,
    take_over,
)
from app.domain.live import ALL_TOPICS, EVERYBODY, Frame, bit_of, subscription, text_frame
from tests.harness.waiting import eventually

METRICS, ALERTS = bit_of("metrics"), bit_of("alert")
TIMEOUT_SECONDS = 20


class Audience:
    """Echoes, and remembers who is gone."""

    def __init__(self) -> None:
        self.lost: list[object] = []

    def heard(self, reader: Reader, text: str) -> bytes:
        return text_frame(f"heard {len(text)}".encode())

    def dropped_frame(self, count: int) -> bytes:
        return text_frame(f"dropped {count}".encode())

    def gone(self, reader: Reader) -> None:
        self.lost.append(reader.owner)


class House:
    """A loop, its clock, and readers with their other ends."""

    def __init__(self) -> None:
        self.audience = Audience()
        self.time = 1000.0
        self.loop = SocketLoop(self.audience, lambda: self.time)
        self.others: list[End] = []

    def reader(
        self,
        owner: str = "somebody",
        topics: int = ALL_TOPICS,
        after: int = 0,
        first: bytes = b"",
        expires_at: float | None = None,
    ) -> "End":
        listener = socket.create_server(("127.0.0.1", 0))
        far = socket.socket()
        # Small, so that a reader that does not read is noticed soon.
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        far.connect(listener.getsockname())
        near, _address = listener.accept()
        listener.close()
        reader = Reader(
            take_over(near), Connection(ConnectionType.SERVER), owner, topics, after, expires_at
        )
        near.close()
        end = End(far, reader)
        self.others.append(end)
        self.loop.attach(reader, first)
        return end

    def close(self) -> None:
        self.loop.restart(1012, "over")
        for end in self.others:
            end.close()
        self.loop.join(TIMEOUT_SECONDS)


class End:
    """The client's end of a socket."""

    def __init__(self, sock: socket.socket, reader: Reader) -> None:
        self.reader = reader
        self.sock = sock
        self.sock.settimeout(TIMEOUT_SECONDS)
        self.protocol = Connection(ConnectionType.CLIENT)
        self._events: list[Event] = []
        self._part = ""

    def event(self) -> Event:
        while not self._events:
            data = self.sock.recv(65536)
            assert data, "closed without a word"
            self.protocol.receive_data(data)
            self._events += list(self.protocol.events())
        return self._events.pop(0)

    def text(self) -> str:
        """The next whole message."""
        while True:
            event = self.event()
            assert isinstance(event, TextMessage), event
            self._part += event.data
            if event.message_finished:
                whole, self._part = self._part, ""
                return whole

    def close_code(self) -> tuple[int, str | None]:
        """Passes over what comes before."""
        while True:
            event = self.event()
            if isinstance(event, CloseConnection):
                return event.code, event.reason

    def send(self, event: Event) -> None:
        self.sock.sendall(self.protocol.send(event))

    def close(self) -> None:
        self.sock.close()


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    yield made
    made.close()


def frames(*numbers: int, bit: int = METRICS, size: int = 0) -> list[Frame]:
    return [Frame(one, bit, text_frame(f"{one}".encode().ljust(size, b"."))) for one in numbers]


def test_all_get_the_same_messages_in_order(house: House) -> None:
    ends = [house.reader() for _reader in range(20)]
    house.loop.broadcast(frames(1, 2))
    house.loop.broadcast(frames(3))
    for end in ends:
        assert [end.text() for _message in range(3)] == ["1", "2", "3"]


def test_what_a_reader_begins_with_comes_first_and_nothing_twice_or_never(house: House) -> None:
    house.loop.broadcast(frames(1, 2, 3, 4))
    end = house.reader(after=2, first=text_frame(b"how it is"))
    house.loop.broadcast(frames(5))
    assert [end.text() for _message in range(4)] == ["how it is", "3", "4", "5"]


def test_messages_that_it_knows_already_are_no_news(house: House) -> None:
    ahead = house.reader(after=6)
    house.loop.broadcast(frames(5, 6, 7))
    assert ahead.text() == "7"


def test_one_that_took_too_long_to_come_in_is_told_what_it_missed(house: House) -> None:
    house.loop.broadcast(frames(8, 9))
    end = house.reader(after=5, first=text_frame(b"how it is"))
    assert [end.text() for _message in range(4)] == ["how it is", "dropped 2", "8", "9"]


def test_a_reader_gets_its_topics_only(house: House) -> None:
    metrics, alerts, nothing = (
        house.reader(topics=subscription(["metrics"])),
        house.reader(topics=subscription(["alerts"])),
        house.reader(topics=subscription([])),
    )
    house.loop.broadcast([*frames(1), *frames(2, bit=ALERTS), *frames(3, bit=EVERYBODY)])
    house.loop.broadcast(frames(4, bit=EVERYBODY))
    assert [metrics.text() for _message in range(3)] == ["1", "3", "4"]
    assert [alerts.text() for _message in range(3)] == ["2", "3", "4"]
    assert [nothing.text() for _message in range(2)] == ["3", "4"]


def test_a_slow_reader_loses_the_oldest_and_is_told_how_many(house: House) -> None:
    slow, quick = house.reader("slow"), house.reader("quick")
    sent = 1500
    seen: list[int] = []
    for start in range(1, sent + 1, 50):
        house.loop.broadcast(frames(*range(start, start + 50), size=2000))
        seen += [int(quick.text().rstrip(".")) for _message in range(50)]
    assert seen == list(range(1, sent + 1)), "the slow one cost the quick one something"

    got: list[int] = []
    dropped = 0
    while not got or got[-1] != sent:
        text = slow.text()
        if text.startswith("dropped"):
            # Told at the place where they would have been.
            lost = int(text.split()[1])
            assert lost > 0
            dropped += lost
        else:
            got.append(int(text.rstrip(".")))
            # Each gap is told where it is, and as long as it is.
            assert got[-1] == len(got) + dropped
    assert dropped > 0
    assert len(got) + dropped == sent


def test_a_reader_that_never_reads_holds_bounded_memory(house: House) -> None:
    stalled, quick = house.reader("stalled"), house.reader("quick")
    for number in range(1, 1001):
        house.loop.broadcast(frames(number, size=10_000))
        assert int(quick.text().rstrip(".")) == number
    waiting = stalled.reader.outbox
    assert sum(len(waiting.take()) for _message in range(len(waiting))) <= 1024 * 1024


def test_client_messages_are_answered(house: House) -> None:
    end = house.reader()
    end.send(TextMessage("hello"))
    assert end.text() == "heard 5"
    # In pieces, too.
    end.send(TextMessage("hel", message_finished=False))
    end.send(TextMessage("lo!", message_finished=True))
    assert end.text() == "heard 6"
    end.send(Ping(b"there?"))
    assert end.event().payload == b"there?"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param([TextMessage("x" * (MAX_MESSAGE_BYTES + 1))], 1009, id="too large"),
        pytest.param([BytesMessage(b"x")], 1003, id="binary"),
        pytest.param([TextMessage("x")] * (MESSAGES_ALLOWED + 1), 1008, id="too many"),
        pytest.param([Ping()] * (MESSAGES_ALLOWED + 1), 1008, id="too many pings"),
    ],
)
def test_who_says_what_he_must_not_is_sent_away(house: House, sent: list[Event], code: int) -> None:
    end = house.reader("rude")
    for event in sent:
        end.send(event)
    assert end.close_code()[0] == code
    end.close()
    eventually(lambda: house.audience.lost == ["rude"], what="the place being free")


def test_bytes_that_are_no_frame_end_it(house: House) -> None:
    end = house.reader("garbled")
    end.sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert end.close_code()[0] == 1002


def test_a_client_that_leaves_is_gone(house: House) -> None:
    end = house.reader("leaver")
    end.send(CloseConnection(1000))
    assert end.close_code()[0] == 1000
    eventually(lambda: house.audience.lost == ["leaver"], what="the place being free")
    assert end.sock.recv(1) == b""


def test_one_whose_line_dies_is_gone_and_the_others_stay(house: House) -> None:
    dead, alive = house.reader("dead"), house.reader("alive")
    dead.close()
    eventually(lambda: house.audience.lost == ["dead"], what="the place being free")
    house.loop.broadcast(frames(1))
    assert alive.text() == "1"


def test_the_silent_are_asked_and_then_let_go(house: House) -> None:
    silent, answering = house.reader("silent"), house.reader("answering")
    house.loop.broadcast(frames(1))
    assert (silent.text(), answering.text()) == ("1", "1")
    house.time += PING_EVERY_SECONDS + 1
    assert isinstance(answering.event(), Ping)
    house.time += SILENT_AFTER_SECONDS - PING_EVERY_SECONDS - 2
    answering.send(TextMessage("here"))
    assert answering.text() == "heard 4"
    house.time += 3
    eventually(lambda: house.audience.lost == ["silent"], what="the silent one being let go")
    house.loop.broadcast(frames(2))
    events: Callable[[], Event] = answering.event
    while not isinstance(found := events(), TextMessage):
        pass
    assert found.data == "2"


def test_a_token_runs_out(house: House) -> None:
    end = house.reader(expires_at=house.time + 10)
    house.loop.broadcast(frames(1))
    assert end.text() == "1"
    house.time += 11
    assert end.close_code() == (1008, "this token has expired")


def test_a_restart_tells_all_and_takes_no_more(house: House) -> None:
    ends = [house.reader() for _reader in range(5)]
    house.loop.restart(1012, "the server restarts")
    ends.append(house.reader())
    for end in ends:
        assert end.close_code() == (1012, "the server restarts")
        end.close()
    house.loop.join(TIMEOUT_SECONDS)
    assert len(house.audience.lost) == 6


def test_one_thread_serves_them_all(house: House) -> None:
    before = threading.active_count()
    ends = [house.reader() for _reader in range(50)]
    house.loop.broadcast(frames(1))
    assert {end.text() for end in ends} == {"1"}
    assert threading.active_count() == before

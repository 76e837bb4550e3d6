"""What one process works with: a cache and a database, and a number in it to read and write."""

import threading
from dataclasses import dataclass, field

from sqlalchemy import text

from app.adapters.cache.cache import Cache
from app.adapters.cache.entry import Answer, Loaded
from app.adapters.database import Database

A, B = "public.cached_a", "public.cached_b"
_READ = text("SELECT number FROM public.cached_a WHERE id = :id")
_WRITE = text("UPDATE public.cached_a SET number = :number WHERE id = :id")


@dataclass
class Process:
    cache: Cache
    database: Database
    loads: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, id_: int = 1, *, ttl: float | None = None, fresh: bool = False) -> Answer:
        return self.cache.get(str(id_), (A,), lambda: self.load(id_), ttl=ttl, fresh=fresh)

    def number(self, id_: int = 1) -> int:
        return int(self.get(id_).entry.body)

    def load(self, id_: int = 1) -> Loaded:
        with self._lock:
            self.loads += 1
        with self.database.view() as view:
            number = view.session.execute(_READ, {"id": id_}).scalar_one()
            return Loaded(str(number).encode(), view.snapshot, view.now)

    def put(self, number: int, id_: int = 1) -> None:
        with self.database.session() as session:
            session.execute(_WRITE, {"number": number, "id": id_})

"""What the demo must remember from run to run, since Tocsin shows it once.

It is in `DATA_DIR/secrets/demo.json`; the feeder writes it, the receiver reads it.
"""

import json
import os
from pathlib import Path
from typing import Any, Literal

Kind = Literal["webhooks", "users", "keys"]


class Secrets:
    """Signing secrets of webhooks, passwords of users and API keys, each by name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at: int | None = None
        self._kept: dict[str, dict[str, str]] = {}

    @classmethod
    def of_environment(cls) -> "Secrets":
        return cls(Path(os.environ["DATA_DIR"]) / "secrets" / "demo.json")

    def webhook(self, name: str) -> str | None:
        return self.get("webhooks", name)

    def get(self, kind: Kind, name: str) -> str | None:
        self._look()
        return self._kept.get(kind, {}).get(name)

    def keep(self, kind: Kind, name: str, secret: str) -> None:
        """On disk when it returns."""
        self._look()
        self._kept.setdefault(kind, {})[name] = secret
        draft = self._path.with_name(f".{self._path.name}.new")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(self._kept, file, indent=2)
        draft.replace(self._path)

    def _look(self) -> None:
        try:
            changed_at = self._path.stat().st_mtime_ns
        except FileNotFoundError:
            return
        if changed_at != self._read_at:
            found: Any = json.loads(self._path.read_text(encoding="utf-8"))
            self._kept, self._read_at = found, changed_at

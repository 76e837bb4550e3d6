"""What a benchmark measured: its tables, its goals, and the JSON that is kept."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.figures import Gate


@dataclass(frozen=True)
class Report(ABC):
    """`machine` is what `benchmarks.machine.describe` said at the start."""

    began_at: str
    machine: Mapping[str, str]

    @property
    @abstractmethod
    def gates(self) -> Sequence[Gate]: ...

    @property
    @abstractmethod
    def voids(self) -> Sequence[str]:
        """The runs that do not count, each with its reason."""

    @abstractmethod
    def as_table(self) -> str:
        """Without the machine and the goals: those are the same for all."""

    def as_json(self) -> str:
        said = {"gates": [asdict(gate) for gate in self.gates], "voids": self.voids}
        return json.dumps(asdict(self) | said, indent=2) + "\n"

    def keep(self, name: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / f"{name}-{self.began_at[:19].replace(':', '')}.json"
        kept.write_text(self.as_json())

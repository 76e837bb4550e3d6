"""What may run beside Tocsin under the same supervisor: the demo does."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.settings import Settings


@dataclass(frozen=True)
class Guest:
    """`procfile`: its programs, which run in the folder of the main one. `block` is said once,
    below the ready block. `status` is a line for whoever sits at the terminal, about once a
    minute; None where there is nothing to say. It must answer within a second or two.
    """

    procfile: Path
    block: Callable[[Settings], str]
    status: Callable[[], str | None]

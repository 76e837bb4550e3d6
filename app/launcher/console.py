"""What the person at the terminal sees."""

import os
import sys
from typing import TextIO


def say(text: str) -> None:
    """A line on stdout."""
    _write(sys.stdout, text)


def complain(text: str) -> None:
    """A line on stderr."""
    _write(sys.stderr, text)


def is_terminal() -> bool:
    """Does somebody read stdout as it is written?"""
    return sys.stdout.isatty()


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except OSError:
        # Nobody reads any more (`| head`, a closed terminal): that is no reason to fall over,
        # least of all in the middle of a stop.
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, stream.fileno())
        os.close(silence)

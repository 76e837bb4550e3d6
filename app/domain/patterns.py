"""Patterns of cache keys: `*` is any run of characters, `?` any one, and all else is itself."""

import re
from collections.abc import Callable
from fnmatch import translate


def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a key is of the pattern, in time that grows with the key's length only."""
    # To fnmatch a bracket begins a set, unless it is one itself.
    match = re.compile(translate(pattern.replace("[", "[[]"))).match
    return lambda key: match(key) is not None

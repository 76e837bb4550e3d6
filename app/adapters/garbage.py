"""Python's collector of circles, for processes that make many small things without any."""

import gc

COLLECT_AFTER = 20_000


def collect_later() -> None:
    """Call it before anything else is imported: nearly all of that stays, and to search it again
    and again takes a quarter of the time to come up. `collect_rarely` ends it."""
    gc.disable()


def collect_rarely() -> None:
    """Call it when everything that stays has been made.

    That is not looked at again. The rest is looked at after more new objects than by default:
    rows and messages hold no circles, and the collector would search them for nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
    gc.enable()

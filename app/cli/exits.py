"""How a command ends."""

from enum import IntEnum


class Exit(IntEnum):
    """What scripts can rely on; `docs/cli.md` has the same list."""

    DONE = 0
    FAILED = 1  # it was refused, or what was asked for went wrong
    USAGE = 2  # wrong arguments, a wrong file or wrong settings; click's own code as well
    NO_ANSWER = 3  # the server is not there, too slow or without its database
    NOT_ALLOWED = 4  # no token, a wrong one, or one of too small a role
    NOT_FOUND = 5  # no such thing, or no such route in the server's version
    DIFFERS = 6  # `import --dry-run` found something to do
    INTERRUPTED = 130


class Failure(Exception):
    """Ends a command. The text is for the person at the terminal, and says what to do."""

    def __init__(self, code: Exit, text: str) -> None:
        super().__init__(text)
        self.code = code

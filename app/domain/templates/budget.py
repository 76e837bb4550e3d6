"""What a template may cost, counted in steps rather than by a clock: on any machine, and at every
attempt, the same template with the same message either renders or does not."""

MAX_STEPS = 50_000
MAX_TEXT_CHARS = 64 * 1024
CHARS_A_STEP = 64
# To look for a text in another may take the product of their lengths. CPython has a better way, and
# takes it from some length on: then so many characters of the one that is sought count.
PAIRS_A_STEP = 256
SHORT_CHARS = 2500
MOST_SOUGHT_CHARS = 128


class TemplateFailed(Exception):
    """A template is wrong, or can't render a message. The text says why, in words for who wrote it;
    it is the same each time."""


class Budget:
    """Of one rendering."""

    def __init__(self) -> None:
        self._left = MAX_STEPS

    def spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise TemplateFailed("It does too much: loop over less, or do less with long texts.")

    def spend_on(self, value: object) -> None:
        """For a text that is made or looked through."""
        if isinstance(value, str):
            if len(value) > MAX_TEXT_CHARS:
                raise TemplateFailed(f"It makes a text of more than {MAX_TEXT_CHARS} characters.")
            self.spend(1 + len(value) // CHARS_A_STEP)

    def spend_on_search(self, sought: str, text: str) -> None:
        chars = len(sought)
        if len(text) >= SHORT_CHARS:
            chars = min(chars, MOST_SOUGHT_CHARS)
        self.spend(1 + chars * len(text) // PAIRS_A_STEP)

"""What keeps the launcher from going on."""


class LaunchError(Exception):
    """It can't start, or it fell over. The text says why and what to do."""

"""`tocsin run`."""

import click


@click.command()
def run() -> int:
    """Run everything in the foreground, until Ctrl-C."""
    from app import launcher

    return launcher.run()

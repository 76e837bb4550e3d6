"""`tocsin completion`."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what completes commands in a shell.

    In ~/.bashrc: eval "$(tocsin completion bash)"
    """
    completes = get_completion_class(shell)
    if completes is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    root = ctx.find_root().command
    click.echo(completes(root, {}, "tocsin", "_TOCSIN_COMPLETE").source())

"""`python -m demo`: `make run` on data of its own, with the receiver and the feeder beside it."""

import os
import sys
from pathlib import Path

from app import launcher
from app.launcher.console import complain
from app.launcher.guest import Guest
from app.settings import SettingsError, load_launch_settings
from demo import block
from demo.place import NotHere, settle
from demo.ports import NoPort, receiver_port


def main() -> int:
    """The exit code: the launcher's, or 2 where the demo may not run."""
    try:
        environment = settle(load_launch_settings(), receiver_port())
        os.environ.update(environment)
        return launcher.run(
            guest=Guest(Path(__file__).with_name("Procfile"), block.told, block.status)
        )
    except (NoPort, NotHere, SettingsError) as error:
        complain(str(error))
        return 2


if __name__ == "__main__":
    sys.exit(main())

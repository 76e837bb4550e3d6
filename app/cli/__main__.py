"""`python -m app.cli`, which works from a checkout without anything installed."""

import sys

from app.cli import main

if __name__ == "__main__":
    sys.exit(main())

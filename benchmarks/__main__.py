"""`python -m benchmarks`: all of them, one after another. For now that is one."""

import sys

from benchmarks import delivery

if __name__ == "__main__":
    sys.exit(delivery.main(sys.argv[1:]))

"""`python -m benchmarks`: all of them, one after another, with their defaults."""

import sys

from benchmarks import command, delivery

if __name__ == "__main__":
    sys.exit(command.main([delivery.BENCHMARK], sys.argv[1:]))

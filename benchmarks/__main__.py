"""`python -m benchmarks`: all of them, one after another, with their defaults."""

import sys

from benchmarks import backlog, command, delivery, fairness

ALL = (delivery.BENCHMARK, fairness.BENCHMARK, backlog.BENCHMARK)

if __name__ == "__main__":
    sys.exit(command.main(ALL, sys.argv[1:]))

"""All benchmarks, one after another, with their defaults: about ten minutes on two cores.

Each runs alone too, with its options: `python -m benchmarks.delivery --help`, and so on.
"""

import sys

from benchmarks import backlog, command, delivery, fairness, metrics_in

ALL = (delivery.BENCHMARK, fairness.BENCHMARK, backlog.BENCHMARK, metrics_in.BENCHMARK)

if __name__ == "__main__":
    given = command.parser_for(None, __doc__).parse_args()
    sys.exit(command.main(ALL, ["--results", str(given.results)]))

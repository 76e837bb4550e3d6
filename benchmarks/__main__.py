"""All benchmarks, one after another, with their defaults: about a quarter of an hour on two cores.

Each runs alone too, with its options: `python -m benchmarks.delivery --help`, and so on.
"""

import sys

from benchmarks import (
    backlog,
    baselines,
    cache,
    coherence,
    command,
    delivery,
    fairness,
    metrics_in,
    probes,
    rest_list,
    schedule,
)

ALL = (
    delivery.BENCHMARK,
    fairness.BENCHMARK,
    backlog.BENCHMARK,
    probes.BENCHMARK,
    schedule.BENCHMARK,
    metrics_in.BENCHMARK,
    baselines.BENCHMARK,
    rest_list.BENCHMARK,
    coherence.BENCHMARK,
    cache.BENCHMARK,
)

if __name__ == "__main__":
    given = command.parser_for(None, __doc__).parse_args()
    sys.exit(command.main(ALL, ["--results", str(given.results)]))

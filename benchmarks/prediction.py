"""Rules against the model on simulated fleets: the figures of docs/prediction.md.

For each seed a fleet of its own is made; the model is fitted and calibrated on the first part of
its time, and everybody is scored on the last, which nobody has seen. `trees` is scikit-learn's
gradient boosting, calibrated in the same way: what a model gives that can't be read as numbers.
"""

import argparse
import time
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.risk_rules import RuleSet
from app.domain.risk_scores import Scores, score
from app.domain.risk_training import Split, split_by_time
from app.services.risk_fitting import fit
from benchmarks.command import positive
from benchmarks.fleet_examples import Examples, examples_of
from benchmarks.simulated_fleet import simulate
from benchmarks.tables import row, title

WIDTHS = (8, 12, 10, 10, 12, 12, 12, 12)
Floats = NDArray[np.float64]


def _trees(examples: Examples, split: Split) -> Floats:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.frozen import FrozenEstimator

    trees: Any = HistGradientBoostingClassifier(
        max_depth=4, learning_rate=0.05, max_iter=150, min_samples_leaf=100, random_state=0
    )
    trees.fit(examples.rows[split.fit], examples.outcomes[split.fit])
    calibrated: Any = CalibratedClassifierCV(FrozenEstimator(trees))
    calibrated.fit(examples.rows[split.calibration], examples.outcomes[split.calibration])
    found: Floats = calibrated.predict_proba(examples.rows[split.held_out])[:, 1]
    return found


def _measure(seed: int, webhooks: int, days: int) -> tuple[dict[str, Scores], dict[str, float]]:
    """Scores by who predicted, and seconds by what took them."""
    begins = time.perf_counter()
    fleet = simulate(seed, webhooks, days)
    made = time.perf_counter()
    examples = examples_of(fleet)
    ready = time.perf_counter()
    split = split_by_time(examples.made_at)
    model = fit(examples.rows, examples.outcomes, split)
    fitted = time.perf_counter()
    rows, outcomes = examples.rows[split.held_out], examples.outcomes[split.held_out]
    known = examples.outcomes[split.fit].mean()
    probabilities = {
        "base rate": np.full(len(rows), known),
        "rules": RuleSet().probabilities(rows),
        "model": model.probabilities(rows),
        "trees": _trees(examples, split),
    }
    scores = {name: score(one, outcomes) for name, one in probabilities.items()}
    return scores, {"fleet": made - begins, "features": ready - made, "fit": fitted - ready}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prediction", description=__doc__)
    parser.add_argument("--seeds", type=positive, default=10)
    parser.add_argument("--webhooks", type=positive, default=60)
    parser.add_argument("--days", type=positive, default=42)
    given = parser.parse_args()
    print(title(f"prediction: {given.webhooks} webhooks, {given.days} days, held out: the last"))
    print(row(WIDTHS, "seed", "", "examples", "outages", "ROC-AUC", "Brier", "skill", "error"))
    found: dict[str, list[Scores]] = {}
    skills: dict[str, list[float]] = {}
    for seed in range(given.seeds):
        scores, seconds = _measure(seed, given.webhooks, given.days)
        for name, one in scores.items():
            skill = 1 - one.brier / scores["base rate"].brier
            found.setdefault(name, []).append(one)
            skills.setdefault(name, []).append(skill)
            print(_line(str(seed) if name == "base rate" else "", name, one, skill))
        print(f"{'':10}" + ", ".join(f"{what} {took:.1f} s" for what, took in seconds.items()))
    print("\nmedian of the seeds; skill: 1 - Brier ÷ Brier of the base rate; error: of calibration")
    for name, all_of_them in found.items():
        middle = Scores(
            int(median(one.examples for one in all_of_them)),
            int(median(one.outages for one in all_of_them)),
            median(one.roc_auc or 0.0 for one in all_of_them),
            median(one.brier for one in all_of_them),
            median(one.calibration_error for one in all_of_them),
        )
        print(_line("", name, middle, median(skills[name])))
    wins = sum(
        (model.roc_auc or 0) > (rules.roc_auc or 0) and model.calibration_error < 0.05
        for model, rules in zip(found["model"], found["rules"], strict=True)
    )
    print(f"\nabove the rules in ROC-AUC with a calibration error below 0.05: {wins}/{given.seeds}")


def _line(seed: str, name: str, one: Scores, skill: float) -> str:
    return row(
        WIDTHS,
        seed,
        name,
        f"{one.examples}",
        f"{one.outages}",
        f"{one.roc_auc:.3f}",
        f"{one.brier:.4f}",
        f"{skill:.3f}",
        f"{one.calibration_error:.4f}",
    )


if __name__ == "__main__":
    main()

"""Whether webhooks are still like those that a model learnt from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.domain.risk_features import Feature
from app.domain.risk_model import LinearModel
from app.domain.risk_scores import stability_index

# With fewer rows the index is mostly chance: it is above 0 even where nothing has changed.
MIN_ROWS: Final = 500
SOME: Final = 0.1
GREAT: Final = 0.25


@dataclass(frozen=True, slots=True)
class Drift:
    """The stability index of each feature that the model uses, over so many rows."""

    indexes: Mapping[Feature, float]
    rows: int

    @property
    def worst(self) -> Feature:
        return max(self.indexes, key=lambda name: self.indexes[name])

    @property
    def level(self) -> str:
        index = self.indexes[self.worst]
        return "great" if index > GREAT else "some" if index > SOME else "none"

    def shown(self) -> dict[str, Any]:
        """As it is kept and shown."""
        return {
            "level": self.level,
            "worst": self.worst,
            "rows": self.rows,
            "stability_index": {name: round(index, 4) for name, index in self.indexes.items()},
        }


def drift_of(model: LinearModel, rows: NDArray[np.float64]) -> Drift | None:
    """None where there is too little to say, or the model uses no feature at all."""
    indexes = {
        one.feature: stability_index(one.reference, rows[:, place])
        for place, one in enumerate(model.weights)
        if one.coefficient and len(rows) >= MIN_ROWS
    }
    return Drift(indexes, len(rows)) if indexes else None

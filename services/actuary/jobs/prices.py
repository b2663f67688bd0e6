"""What work costs: integer micro-dollars an item, so that sums are exact and the same in any order.

Each item's tokens are rounded up to a whole micro-dollar, and so is its share of a GPU. Rounding up keeps
the worst case of a sum the sum of worst cases; it overstates by less than two millionths of a dollar an item.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

_COMPUTE_SECONDS_LIMIT = 10.0
"""A guess: many times what an answer takes."""
_TOKENS = 1000
_SECONDS_AN_HOUR = 3600


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Prices of a model, in micro-dollars."""

    input_micros_per_1000_tokens: int = 0
    output_micros_per_1000_tokens: int = 0
    gpu_hour_micros: int = 0
    compute_seconds_limit: float = _COMPUTE_SECONDS_LIMIT
    """The longest time of the GPU that one item is charged for."""

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Reads the JSON form of a message, in which 64-bit integers are text."""
        return cls(
            input_micros_per_1000_tokens=int(fields.get("input_micros_per_1000_tokens", 0)),
            output_micros_per_1000_tokens=int(fields.get("output_micros_per_1000_tokens", 0)),
            gpu_hour_micros=int(fields.get("gpu_hour_micros", 0)),
            compute_seconds_limit=float(fields.get("compute_seconds_limit", _COMPUTE_SECONDS_LIMIT)),
        )

    def worst_case_micros(
        self, tokens_in: npt.NDArray[np.int64], tokens_out: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """The most that each item may cost: `cost_micros` never passes it."""
        return self.cost_micros(tokens_in, tokens_out, self.compute_seconds_limit)

    def cost_micros(
        self,
        tokens_in: npt.NDArray[np.int64],
        tokens_out: npt.NDArray[np.int64],
        compute_seconds: npt.NDArray[np.float64] | float = 0.0,
    ) -> npt.NDArray[np.int64]:
        """Cost of each item, rounded up; its time counts up to `compute_seconds_limit`.

        >>> import numpy as np
        >>> prices = Prices(input_micros_per_1000_tokens=3, output_micros_per_1000_tokens=15)
        >>> prices.cost_micros(np.array([1000, 1]), np.array([0, 100])).tolist()
        [3, 2]
        """
        thousandths = (
            tokens_in * self.input_micros_per_1000_tokens + tokens_out * self.output_micros_per_1000_tokens
        )
        cost = -(-thousandths // _TOKENS)
        if self.gpu_hour_micros:
            charged = np.minimum(compute_seconds, self.compute_seconds_limit)
            share = charged * (self.gpu_hour_micros / _SECONDS_AN_HOUR)
            cost = cost + np.ceil(share).astype(np.int64)
        return cost.astype(np.int64)

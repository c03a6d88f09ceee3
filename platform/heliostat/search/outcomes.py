"""What a driver says of a leg, checked before it is written down."""

from __future__ import annotations

import math
from dataclasses import replace

from heliostat.search.legs import Failed, Told


def checked(outcome: Told | Failed, goals: int) -> Told | Failed:
    """Return `outcome`, plain; objectives that are not finite are a failure.

    Raises ValueError for another number of objectives than the spec has.
    """
    if isinstance(outcome, Failed):
        return outcome
    values = tuple(float(value) for value in outcome.values)
    if len(values) != goals:
        raise ValueError(f"{len(values)} objectives were told of, not {goals}")
    if not all(map(math.isfinite, values)):
        return Failed("diverged", f"the objective is {', '.join(map(str, values))}", False)
    curve = tuple((int(e), float(v)) for e, v in outcome.curve if math.isfinite(v))
    return replace(outcome, values=values, curve=curve)

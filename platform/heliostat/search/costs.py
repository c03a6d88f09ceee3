"""What a leg may cost, in epochs."""

from __future__ import annotations

from heliostat.search.trials import Trial
from heliostat.spec.tune import TuneSpec


class Costs:
    """The most epochs that legs of a search can take."""

    def __init__(self, spec: TuneSpec) -> None:
        self._whole = whole_trial(spec)

    def of(self, until: int | None, trial: Trial | None) -> int:
        """Return the most epochs of a leg `until`, of a trial that may not be there yet.

        Where nobody knows the trial's end (it has only `max_steps`), it is 1.
        """
        values = trial.values if trial else {}
        end = until or values.get("epochs") or self._whole
        return 1 if end is None else max(0, int(end) - (trial.epoch if trial else 0))


def whole_trial(spec: TuneSpec) -> int | None:
    """Return the most epochs that one trial can be trained for; None where nobody knows."""
    space = spec.search.get("epochs")
    own = spec.train.epochs
    return own if space is None else int(max(*space.ends, own or 0))

"""Which searched keys matter: Optuna's PED-ANOVA over the trials that finished."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from heliostat.tracking.trial_facts import Aim, TrialFacts

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FEWEST = 4
"""Trials, below which nothing can be said."""


def importance(
    trials: Sequence[TrialFacts], aim: Aim, spaces: Mapping[str, Any]
) -> dict[str, float]:
    """Return each key's share, on 0..1, in what makes a trial of `trials` a good one.

    Watanabe et al. 2023, "PED-ANOVA". Empty where they are fewer than four or all alike, or
    where Optuna is not installed.
    """
    if len(trials) < FEWEST or len({trial.objectives[0] for trial in trials}) < 2:
        return {}
    try:
        import optuna
    except ImportError:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kinds = {key: _distribution(space) for key, space in spaces.items()}
    study = optuna.create_study(direction="maximize" if aim.goal == "maximize" else "minimize")
    study.add_trials(
        [
            optuna.create_trial(
                params={key: _inside(kinds[key], value) for key, value in trial.values.items()},
                distributions={key: kinds[key] for key in trial.values},
                value=trial.objectives[0],
            )
            for trial in trials
        ]
    )
    varied = [key for key in kinds if len({json.dumps(t.values.get(key)) for t in trials}) > 1]
    with warnings.catch_warnings():
        # A conditional key that hardly any trial has: the picture says of how few trials it is.
        warnings.filterwarnings("ignore", message="Some regimes for parameter")
        shares = optuna.importance.get_param_importances(study, params=varied)
    return {key: float(share) for key, share in shares.items() if math.isfinite(share)}


def _distribution(space: Mapping[str, Any]) -> BaseDistribution:
    from optuna import distributions

    kind, given = next((kind, given) for kind, given in space.items() if kind != "when")
    if kind in ("choice", "grid"):
        return distributions.CategoricalDistribution([_category(value) for value in given])
    low, high = given[:2]
    if kind in ("int", "logint"):
        return distributions.IntDistribution(low, high, log=kind == "logint")
    # A step of `quantized` is left out: it need not divide the range, and here it says nothing.
    return distributions.FloatDistribution(low, high, log=kind == "loguniform")


def _category(value: Any) -> bool | int | float | str | None:
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)


def _inside(kind: BaseDistribution, value: Any) -> Any:
    """Return the value as its distribution takes it."""
    low, high = getattr(kind, "low", None), getattr(kind, "high", None)
    return _category(value) if low is None else min(max(value, low), high)

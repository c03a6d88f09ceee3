"""Optuna's samplers, asked and told in memory. The one module that imports Optuna.

With one trial at a time, the suggestions are those of bare Optuna with the same seed. Optuna sees
a `choice` as the positions in its list: so values may be of any kind, and its samplers draw
positions anyway.
"""

from __future__ import annotations

import warnings
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from heliostat.search.trials import Trial
from heliostat.spec.spaces import Choice, Range, same
from heliostat.spec.tune import TuneSpec

optuna.logging.set_verbosity(optuna.logging.ERROR)


class OptunaSuggester:
    """Suggestions by the sampler that the spec's `algorithm` names, seeded by the spec."""

    total: int | None = None

    def __init__(self, spec: TuneSpec) -> None:
        self._spec = spec
        self._order = spec.order
        self._spaces = {key: _distribution(spec.search[key]) for key in self._order}
        self._sampler = _sampler(spec, self._spaces)
        self._learns = spec.algorithm in ("tpe", "gp")
        self._study = self._new_study()
        self._asked: dict[int, optuna.Trial] = {}

    def suggest(self, number: int) -> dict[str, Any]:
        """Return one of the spec's points, as long as there are any; then the sampler's."""
        points = self._spec.points_to_evaluate
        return self._ask(number, points[number] if number < len(points) else None)

    def replay(self, number: int, values: dict[str, Any]) -> None:
        """Suggest again, so that the sampler's random state moves on; the ledger's values count."""
        if self.suggest(number) == values:
            return
        self._tell(self._asked.pop(number, None), TrialState.FAIL)
        self._ask(number, values)

    def paused(self, trial: Trial) -> None:
        """Tell that the trial was pruned at this epoch, with its value."""
        if self._learns:
            self._prune(trial)

    def ended(self, trial: Trial) -> None:
        """Tell how the trial ended."""
        if not self._learns:
            return
        asked = self._asked.get(trial.number)
        if trial.status == "FINISHED" and asked is None:  # it was told as pruned, at a rung
            self._study.add_trial(self._frozen(trial, TrialState.COMPLETE))
        elif trial.status == "FINISHED":
            self._tell(self._asked.pop(trial.number), TrialState.COMPLETE, trial.objectives)
        elif trial.status == "PRUNED" and asked is not None:
            self._prune(trial)
        elif asked is not None:
            self._tell(self._asked.pop(trial.number), TrialState.FAIL)

    def _ask(self, number: int, fixed: dict[str, Any] | None) -> dict[str, Any]:
        if self._spec.algorithm == "random":  # it asks nothing of the past, whose trials add up
            self._study = self._new_study()
        if fixed is not None:
            self._study.enqueue_trial(self._internal(fixed))
        asked = self._study.ask()
        values: dict[str, Any] = {}
        for key in self._order:
            space = self._spec.search[key]
            if space.exists(values):
                internal = _suggested(asked, key, self._spaces[key])
                values[key] = space.values[internal] if isinstance(space, Choice) else internal
        if self._learns:
            self._asked[number] = asked
        return values

    def _prune(self, trial: Trial) -> None:
        asked = self._asked.pop(trial.number, None)
        if asked is None:
            self._study.add_trial(self._frozen(trial, TrialState.PRUNED))
            return
        if trial.value is not None:
            asked.report(trial.value, trial.epoch)
        self._tell(asked, TrialState.PRUNED)

    def _tell(
        self,
        asked: optuna.Trial | None,
        state: TrialState,
        values: tuple[float, ...] | None = None,
    ) -> None:
        if asked is not None:
            self._study.tell(asked, values, state)

    def _frozen(self, trial: Trial, state: TrialState) -> FrozenTrial:
        params = self._internal(trial.values)
        pruned = state == TrialState.PRUNED
        return create_trial(
            state=state,
            values=list(trial.objectives),
            params=params,
            distributions={key: self._spaces[key] for key in params},
            intermediate_values={trial.epoch: trial.objectives[0]} if pruned else {},
        )

    def _internal(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return `values` as Optuna knows them: a choice by its position."""
        return {key: _position(self._spec.search[key], value) for key, value in values.items()}

    def _new_study(self) -> optuna.Study:
        directions = [goal.goal for goal in self._spec.goals]
        return optuna.create_study(directions=directions, sampler=self._sampler)


def _sampler(spec: TuneSpec, spaces: dict[str, BaseDistribution]) -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match spec.algorithm:
            case "tpe":  # at one trial at a time there is nobody to lie about
                return optuna.samplers.TPESampler(seed=spec.seed, constant_liar=True)
            case "gp":
                return optuna.samplers.GPSampler(seed=spec.seed, warn_independent_sampling=False)
            case "quasi_random":
                return _WholeSpaceSampler(spec.seed, spaces)
        return optuna.samplers.RandomSampler(seed=spec.seed)


class _WholeSpaceSampler(optuna.samplers.QMCSampler):
    """A scrambled Sobol' sequence over all keys, those too that a trial turns out not to have.

    Optuna's own takes the first trial's keys for the space, and draws that trial at random.
    """

    def __init__(self, seed: int, spaces: dict[str, BaseDistribution]) -> None:
        super().__init__(scramble=True, seed=seed, warn_independent_sampling=False)
        self._spaces = spaces

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._spaces


def _distribution(space: Range | Choice) -> BaseDistribution:
    if isinstance(space, Choice):
        return CategoricalDistribution(range(len(space.values)))
    log = space.kind in ("loguniform", "logint")
    if space.whole:
        return IntDistribution(int(space.low), int(space.high), log=log, step=int(space.step or 1))
    return FloatDistribution(space.low, space.high, log=log, step=space.step)


def _suggested(asked: optuna.Trial, key: str, over: BaseDistribution) -> Any:
    if isinstance(over, FloatDistribution):
        return float(asked.suggest_float(key, over.low, over.high, step=over.step, log=over.log))
    if isinstance(over, IntDistribution):
        return int(asked.suggest_int(key, over.low, over.high, step=over.step, log=over.log))
    assert isinstance(over, CategoricalDistribution)
    return asked.suggest_categorical(key, over.choices)


def _position(space: Range | Choice, value: Any) -> Any:
    if isinstance(space, Range):
        return value
    return next(index for index, own in enumerate(space.values) if same(own, value))

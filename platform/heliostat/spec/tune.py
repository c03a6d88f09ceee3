"""The kind tune: a search for the values of some keys of a train spec.

    kind: tune
    name: digits-search
    train: train.yaml                 # or the train spec itself, here
    search:
      optimizer.lr: {loguniform: [1.0e-3, 1.0]}
      optimizer.name: {choice: [sgd, adamw]}
      optimizer.momentum: {uniform: [0.5, 0.99], when: {optimizer.name: sgd}}
    algorithm: tpe
    scheduler: {name: asha, eta: 3}
    trials: 32

Each trial is a training job of its own: `train` with the trial's values put in, as
`TuneSpec.trial_spec` returns it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from heliostat.spec import search_rules as rules
from heliostat.spec.base import Model, is_legal_name, wrong, wrong_here
from heliostat.spec.conditions import in_order
from heliostat.spec.grid import grid_points
from heliostat.spec.jobs import EntrypointSpec, Job, TrainSpec
from heliostat.spec.problems import InputError, Problem
from heliostat.spec.registration import Objective, Register
from heliostat.spec.search_fit import search_problems
from heliostat.spec.search_schedulers import NoScheduler, Scheduler
from heliostat.spec.spaces import Space
from heliostat.spec.trials import read_train, with_values

_MOST_TRIALS = 1_000_000


def _read_train(value: Any) -> TrainSpec | EntrypointSpec:
    if not isinstance(value, dict | TrainSpec | EntrypointSpec):
        raise wrong_here("must be a path or a train spec", "such as train: train.yaml")
    try:
        train = read_train(value)
    except InputError as error:
        raise wrong(*error.problems) from None
    if train.retries.out_of_memory is not None:
        message = "trials are compared, and take all as many samples at a time"
        raise wrong_here(message, "leave it out", key=("retries", "out_of_memory"))
    return train


class Budget(Model):
    """What a search may cost; it ends when either is spent, or when `trials` have ended."""

    minutes: float | None = Field(default=None, gt=0)
    """Wall time."""
    epochs: int | None = Field(default=None, ge=1)
    """Of all trials together."""


class _Registering:
    """The field `register`, apart: pydantic warns of it in a model (`ABCMeta.register`)."""

    register: Register | None = None


class TuneSpec(_Registering, Job):
    """A search: `search` says which keys of `train` vary, and over what.

    The fields' order matters, as in a train spec: a rule sees the fields before its own.
    """

    kind: Literal["tune"]
    train: Annotated[TrainSpec | EntrypointSpec, BeforeValidator(_read_train)] = Field(
        examples=["train.yaml"]
    )
    """The training job whose values are searched for: inline, where it may leave out its kind and
    its name, or a path relative to the file."""
    search: dict[str, Space] = Field(
        min_length=1, examples=["{optimizer.lr: {loguniform: [1.0e-4, 1.0]}}"]
    )
    """The values that a trial may have at each key of `train`, by the key as `--set` writes it."""
    objectives: tuple[Objective, ...] = Field(default=(), strict=False, validate_default=True)
    """What trials are judged by; none: the train spec's objective. With several there is no best
    trial, but those that no other beats in all (the Pareto front)."""
    algorithm: Literal["random", "grid", "tpe", "gp", "quasi_random"] = Field(
        default="random", validate_default=True
    )
    """How values are suggested. `random`: independently. `grid`: every combination, in order.
    `tpe` and `gp`: from the trials that ended, by Optuna's TPESampler (a tree-structured Parzen
    estimator) and GPSampler (a Gaussian process). `quasi_random`: a scrambled Sobol' sequence,
    which fills the space more evenly than `random`."""
    scheduler: Scheduler = Field(default=NoScheduler(), validate_default=True)
    """Which trials are trained on, and how far."""
    budget: Budget = Field(default=Budget(), validate_default=True)
    trials: int | None = Field(default=None, ge=1, le=_MOST_TRIALS, validate_default=True)
    """None: what the grid holds, or until the budget is spent."""
    concurrent: int | None = Field(default=None, ge=1, le=_MOST_TRIALS)
    """Trials at a time; None: as many as there is room for. The suggestions can be repeated only
    at 1: with more, they depend on which trial ends first."""
    target: float | None = Field(default=None)
    """The search ends when the objective of a trial is this good."""
    points_to_evaluate: tuple[dict[str, Any], ...] = Field(default=(), strict=False)
    """Whole trials' values, by key, that are tried before any that the algorithm suggests."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the suggestions; each trial's training has the seed of `train`."""

    @property
    def goals(self) -> tuple[Objective, ...]:
        """What trials are judged by, at least one; checkpoints of a trial by the first."""
        return self.objectives or ((self.train.objective,) if self.train.objective else ())

    @property
    def registration(self) -> Register | None:
        """What the best trial's model becomes a version of: `register`, or else the train spec's.

        None with several objectives, where no trial is the best.
        """
        return (self.register or self.train.register) if len(self.goals) == 1 else None

    @property
    def order(self) -> tuple[str, ...]:
        """The keys of `search`, each after those that its `when` names."""
        return in_order(self.search)

    def trial_spec(self, values: Mapping[str, Any]) -> TrainSpec | EntrypointSpec:
        """Return the training job of a trial: `train` with `values`, by key of `search`.

        Where `values` name another optimizer or schedule (`optimizer.name`), the keys of the train
        spec's own that the other one lacks are dropped, and those that stand at their defaults get
        the other one's. A trial registers nothing, and keeps its best checkpoint by the first of
        `goals`. Raises InputError, its keys relative to the train spec, where it forbids `values`.
        """
        plain = with_values(self.train, values)
        plain["register"] = None
        plain["objective"] = self.goals[0].model_dump(mode="json")
        if self.train.objective is None:  # it kept no best checkpoint, for want of an objective
            plain["checkpoint"]["keep_best"] = 1
        return read_train(plain)

    def grid(self) -> Iterator[dict[str, Any]]:
        """Yield the values of each trial of a grid; the last key of the file changes fastest."""
        return grid_points(self.search)

    @model_validator(mode="before")
    @classmethod
    def _complete_train(cls, values: Any) -> Any:
        """Let the inline `train` leave out its kind, and its name where the search has one."""
        if not isinstance(values, dict) or not isinstance(values.get("train"), dict):
            return values
        name = values.get("name")
        if not isinstance(name, str) or not is_legal_name(name):
            name = "search"  # what is wrong with the name is said once, at the search's own
        return {**values, "train": {"kind": "train", "name": name, **values["train"]}}

    @field_validator("search")
    @classmethod
    def _search_fits_train(cls, search: dict[str, Space], info: ValidationInfo) -> dict[str, Space]:
        return _passed(search, search_problems(search, info.data.get("train")))

    @field_validator("objectives")
    @classmethod
    def _check_objectives(
        cls, objectives: tuple[Objective, ...], info: ValidationInfo
    ) -> tuple[Objective, ...]:
        return _passed(objectives, rules.objective_problems(objectives, info.data))

    @field_validator("algorithm")
    @classmethod
    def _check_algorithm(cls, algorithm: str, info: ValidationInfo) -> str:
        return _passed(algorithm, rules.algorithm_problems(algorithm, info.data))

    @field_validator("scheduler")
    @classmethod
    def _check_scheduler(cls, scheduler: Scheduler, info: ValidationInfo) -> Scheduler:
        return _passed(scheduler, rules.scheduler_problems(scheduler, info.data))

    @field_validator("budget")
    @classmethod
    def _check_budget(cls, budget: Budget, info: ValidationInfo) -> Budget:
        return _passed(budget, rules.budget_problems(budget.epochs, info.data))

    @field_validator("trials")
    @classmethod
    def _check_trials(cls, trials: int | None, info: ValidationInfo) -> int | None:
        return _passed(trials, rules.trials_problems(trials, info.data))

    @field_validator("target")
    @classmethod
    def _check_target(cls, target: float | None, info: ValidationInfo) -> float | None:
        return _passed(target, rules.target_problems(target, info.data))

    @field_validator("points_to_evaluate")
    @classmethod
    def _check_points(
        cls, points: tuple[dict[str, Any], ...], info: ValidationInfo
    ) -> tuple[dict[str, Any], ...]:
        return _passed(points, rules.point_problems(points, info.data))


T = TypeVar("T")


def _passed(value: T, problems: Iterator[Problem]) -> T:
    """Return `value`. Raises pydantic's error of the problems, if there are any."""
    if found := tuple(problems):
        raise wrong(*found)
    return value

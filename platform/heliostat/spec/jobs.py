"""The kinds of job that run: train (built-in loop or the user's own), predict, evaluate."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from heliostat.spec.base import Arguments, ImportPath, KnownOrImportPath, Model, Name, wrong_here
from heliostat.spec.checkpointing import Checkpointing, Duration, Retention
from heliostat.spec.environment import Env
from heliostat.spec.optimizers import Ema, Optimizer
from heliostat.spec.registration import ModelUri, Objective, Register, WeightsUri
from heliostat.spec.resources import Resources, Retries
from heliostat.spec.schedules import Constant, Schedule
from heliostat.spec.sources import DataSpec, Source
from heliostat.spec.stalling import Stall


class Job(Model):
    """What every kind of job has."""

    kind: str
    name: Name = Field(examples=["digits-cnn"])
    experiment: str = Field(default_factory=lambda data: data["name"], min_length=1, max_length=500)
    """The MLflow experiment; by default the job's name."""

    @field_validator("experiment", mode="before")
    @classmethod
    def _default_experiment(cls, experiment: Any, info: ValidationInfo) -> Any:
        return info.data.get("name", "unnamed") if experiment is None else experiment


class TaskSpec(Model):
    """The task: a built-in one or the user's own class, and its arguments; short form: its name."""

    name: KnownOrImportPath = "classification"
    args: Arguments = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, values: Any) -> Any:
        return {"name": values} if isinstance(values, str) else values


class ModelSpec(Model):
    """The model: a name that heliostat or torchvision knows, or a callable of the user's own."""

    name: KnownOrImportPath = Field(examples=["resnet18"])
    args: Arguments = Field(default_factory=dict)
    weights: WeightsUri | None = None
    freeze: tuple[str, ...] = Field(default=(), strict=False)
    """Patterns of parameters' names (`features.*`) that are not trained."""
    gradient_checkpointing: tuple[str, ...] = Field(default=(), strict=False)
    """Patterns of modules' names (`layer?.*`) whose activations are computed again in the backward
    pass (torch.utils.checkpoint): less memory for more time."""
    channels_last: bool = False
    compile: bool = False
    """Whether torch.compile is applied to the model."""
    sync_batch_norm: bool = False
    """Whether BatchNorm's statistics are those of the global batch (torch.nn.SyncBatchNorm)."""


class _Learning(Job):
    """What training jobs have, whoever wrote the loop.

    The fields' order matters: a rule sees those that stand before its own (and were valid), so
    that it reports its mistake at its own key, together with all other mistakes of the file.
    """

    seed: int = Field(default=0, ge=0, lt=2**32)
    data: DataSpec | None = None
    objective: Objective | None = None
    resources: Resources = Resources()
    batch_size: int | None = Field(default=None, ge=1)
    """Samples of a global batch, over all workers."""
    max_steps: int | None = Field(default=None, ge=1)
    """Optimizer steps."""
    epochs: int | None = Field(default=None, ge=1)
    checkpoint: Retention = Field(default=Retention(), validate_default=True)
    retries: Retries = Retries()
    stall: Stall = Stall()
    env: Env = Field(default_factory=dict)

    @field_validator("batch_size")
    @classmethod
    def _divides_among_workers(cls, size: int | None, info: ValidationInfo) -> int | None:
        resources = info.data.get("resources")
        if size is None or resources is None or resources.elastic:
            return size
        workers = resources.max_workers
        if size % workers:
            lower = size - size % workers
            sizes = f"{lower} or {lower + workers}" if lower else f"{workers}"
            raise wrong_here(f"{size} is not divisible by {workers} workers", sizes)
        return size

    @field_validator("checkpoint")
    @classmethod
    def _best_needs_objective(cls, checkpoint: Retention, info: ValidationInfo) -> Retention:
        if info.data.get("objective") or "objective" not in info.data:
            return checkpoint
        if "keep_best" in checkpoint.model_fields_set and checkpoint.keep_best > 0:
            message, valid = "needs an objective", "give objective, or keep_best: 0"
            raise wrong_here(message, valid, key=("keep_best",))
        return checkpoint.model_copy(update={"keep_best": 0})


def _better_needs_objective(register: Register | None, info: ValidationInfo) -> Register | None:
    no_objective = "objective" in info.data and info.data["objective"] is None
    if register is not None and register.when == "better" and no_objective:
        message, valid = "better needs an objective", "give objective, or when: always"
        raise wrong_here(message, valid, key=("when",))
    return register


class _Registering:
    """The field `register`, apart: pydantic warns of it in a model (`ABCMeta.register`)."""

    register: Register | None = None


class TrainSpec(_Registering, _Learning):
    """A training job of the built-in loop."""

    kind: Literal["train"]
    data: DataSpec = Field(examples=["{train: path/to/images}"])
    batch_size: int = Field(ge=1, examples=["64"])
    epochs: int | None = Field(default=None, ge=1, validate_default=True)
    """None: until `max_steps`."""
    checkpoint: Checkpointing = Field(default=Checkpointing(), validate_default=True)
    task: TaskSpec = TaskSpec()
    model: ModelSpec = Field(examples=["{name: resnet18}"])
    optimizer: Optimizer = Field(examples=["{name: sgd, lr: 0.1}"])
    schedule: Schedule = Field(default=Constant(), examples=["{name: cosine}"])
    precision: Literal["fp32", "bf16"] = "fp32"
    accumulate: int = Field(default=1, ge=1)
    """In how many parts a worker takes its share of a global batch; gradients add up over them."""
    clip_grad_norm: float | None = Field(default=None, gt=0)
    """The largest norm of all gradients together (torch.nn.utils.clip_grad_norm_)."""
    ema: Ema | None = None
    log_every: int = Field(default=10, ge=1)
    """Optimizer steps between two records of the training metrics."""

    @model_validator(mode="before")
    @classmethod
    def _accuracy_is_the_objective(cls, values: Any) -> Any:
        """Classification with a val source is judged by its accuracy, unless the spec differs."""
        if not isinstance(values, dict) or values.get("objective") is not None:
            return values
        data = values.get("data")
        has_val = isinstance(data, dict) and data.get("val") is not None
        task = values.get("task", "classification")
        name = task.get("name", "classification") if isinstance(task, dict) else task
        if has_val and name == "classification":
            return {**values, "objective": {"metric": "val/accuracy", "goal": "maximize"}}
        return values

    @field_validator("objective")
    @classmethod
    def _objective_needs_val(cls, objective: Objective, info: ValidationInfo) -> Objective:
        if "data" in info.data and info.data["data"].val is None and objective is not None:
            raise wrong_here(f"{objective.metric} needs data.val", "give data.val, or no objective")
        return objective

    @field_validator("epochs")
    @classmethod
    def _has_an_end(cls, epochs: int | None, info: ValidationInfo) -> int | None:
        if epochs is None and "max_steps" in info.data and info.data["max_steps"] is None:
            raise wrong_here("the job has no end", "give epochs or max_steps")
        return epochs

    _check_register = field_validator("register")(_better_needs_objective)


class EntrypointSpec(_Registering, _Learning):
    """A training job whose loop is the user's own function; it gets a context and these fields."""

    kind: Literal["train"]
    entrypoint: ImportPath
    # Such a loop may report once an epoch only, and an epoch may be long.
    stall: Stall = Stall(after=Duration(2, "hour"))
    args: Arguments = Field(default_factory=dict)
    """Keyword arguments of the function, besides the context."""

    @field_validator("retries")
    @classmethod
    def _halves_nothing(cls, retries: Retries) -> Retries:
        if retries.out_of_memory is not None:
            message = "a loop of your own decides how many samples it takes at a time"
            raise wrong_here(message, "leave it out", key=("out_of_memory",))
        return retries

    _check_register = field_validator("register")(_better_needs_objective)


class PredictSpec(Job):
    """Prediction: a registered model over an input, to a Parquet file with one row an input."""

    kind: Literal["predict"]
    model: ModelUri = Field(examples=["models:/digits@champion"])
    input: Source = Field(examples=["path/to/images"])
    output: str = Field(min_length=1, examples=["predictions.parquet"])
    batch_size: int = Field(default=256, ge=1)
    """Inputs that go through the model at once, on one worker."""
    resources: Resources = Resources()
    env: Env = Field(default_factory=dict)


class EvaluateSpec(Job):
    """Evaluation: a registered model over labelled data, each sample once."""

    kind: Literal["evaluate"]
    model: ModelUri = Field(examples=["models:/digits@champion"])
    data: Source = Field(examples=["{uri: path/to/images, split: test}"])
    batch_size: int = Field(default=256, ge=1)
    """Samples of a global batch, over all workers."""
    resources: Resources = Resources()
    env: Env = Field(default_factory=dict)

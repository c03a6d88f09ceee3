"""A map-style torch Dataset of the user's own: `{dataset: package.module:Class, args: {…}}`."""

from __future__ import annotations

import importlib
import inspect
import random
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate, default_convert

from heliostat.data.arguments import check_arguments
from heliostat.data.fingerprint import fingerprint
from heliostat.data.global_draws import own_draws, seeds
from heliostat.data.paths import one_line
from heliostat.data.samples import Indices, Labels
from heliostat.spec.problems import InputError


class UserDataset:
    """The items (input, target) of a user's dataset, batched by torch's `default_collate`.

    The dataset may have `classes` (names) and `targets` (a class number for each item), as
    torchvision's have; without names, the classes are named by the targets' numbers. What
    `__getitem__` draws from Python's, NumPy's or torch's global generators is seeded for each
    item, and their states are put back after each batch.
    """

    background = False
    shape = None
    blocks = None
    skipped = ()

    def __init__(
        self, path: str, args: Mapping[str, Any], dataset: Any, chosen: Indices, *, labelled: bool
    ) -> None:
        """Take the items `chosen` of `dataset`, which `path` with `args` made."""
        self.uri = path
        targets = _targets(dataset)
        self.labels = None if targets is None else targets[chosen]
        numbers = range(0 if targets is None else int(targets.max()) + 1)
        self.classes = tuple(map(str, getattr(dataset, "classes", numbers)))
        self._args = dict(args)
        self._dataset = dataset
        self._chosen = chosen
        self._labelled = labelled

    def __len__(self) -> int:
        """Return N."""
        return len(self._chosen)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the module's source, the arguments and the items' numbers: not of content."""
        try:
            source = inspect.getsource(inspect.getmodule(type(self._dataset)) or type(None))
        except (OSError, TypeError):
            source = ""  # made without a file, in an interpreter
        about = ["dataset", self.uri, self._args, source]
        return fingerprint(about, self._chosen, ())

    def source(self, index: int) -> str:
        """Return `package.module:Class#item`."""
        return f"{self.uri}#{self._chosen[index]}"

    def size(self, index: int) -> None:
        """Return None: what an item's input is made of is the user's business."""

    def read(self, indices: Indices, key: tuple[int, int] = (0, 0)) -> tuple[Any, Any]:
        """Return what `default_collate` makes of the items; the user's exceptions come as raised.

        Raises InputError for items that make no batch, and for one that is not (input, target)
        where labels are needed.
        """
        with own_draws():
            items = [self._item(index, seed) for index, seed in _seeded(indices, key)]
        inputs = self._collated("inputs", [value for value, _ in items], indices)
        if not self._labelled:
            return inputs, None
        return inputs, self._collated("targets", [target for _, target in items], indices)

    def read_each(self, indices: Indices) -> list[Tensor | Exception]:
        """Return each item's input as a tensor, or the exception that the item raised."""

        def one(index: int, seed: int) -> Tensor | Exception:
            try:
                value = convert(self._item(index, seed)[0])
            except Exception as error:
                return error
            if isinstance(value, Tensor):
                return value
            return TypeError(f"the input is a {type(value).__name__}, not a tensor")

        convert: Callable[[Any], Any] = default_convert
        with own_draws():
            return [one(index, seed) for index, seed in _seeded(indices, (0, 0))]

    def take(self, chosen: Indices) -> UserDataset:
        """Return the chosen items."""
        return UserDataset(
            self.uri, self._args, self._dataset, self._chosen[chosen], labelled=self._labelled
        )

    def _collated(self, what: str, values: list[Any], indices: Indices) -> Any:
        collate: Callable[[list[Any]], Any] = default_collate
        try:
            return collate(values)
        except (TypeError, RuntimeError, ValueError, KeyError) as error:
            kinds = [_kind(value) for value in values]
            other = next((i for i, kind in enumerate(kinds) if kind != kinds[0]), 0)
            first, odd = self.source(int(indices[0])), self.source(int(indices[other]))
            detail = f", {odd} has {kinds[other]}" if other else f" ({one_line(error)})"
            raise InputError.of(
                f"the {what} make no batch: {first} has {kinds[0]}{detail}",
                valid="tensors of one shape, or what torch's default_collate takes",
            ) from error

    def _item(self, index: int, seed: int) -> tuple[Any, Any]:
        random.seed(seed)
        np.random.seed(seed & 0xFFFFFFFF)
        torch.default_generator.manual_seed(seed)
        item = self._dataset[int(self._chosen[index])]
        if isinstance(item, tuple | list) and len(item) == 2:
            return item[0], item[1]
        if self._labelled:
            raise InputError.of(
                f"{self.source(index)} gave {_kind(item)}", valid="a pair (input, target)"
            )
        return item, None


def open_dataset(path: str, args: Mapping[str, Any], *, labelled: bool) -> UserDataset:
    """Return the dataset that `path` ("package.module:Class"), called with `args`, makes.

    Raises InputError for a path that is malformed, whose module does not exist or lacks the name,
    arguments that it does not take, and a thing that is no map-style dataset. What the user's own
    code raises, ImportError included, is left as it is.
    """
    make = _resolved(path)
    check_arguments(path, make, args, key=("args",))
    dataset = make(**args)
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise InputError.of(
            f"{path} is not a map-style dataset",
            key=("dataset",),
            valid="a class with __len__ and __getitem__",
        )
    if not len(dataset):
        raise InputError.of(f"{path} is empty: its length is 0", key=("dataset",))
    return UserDataset(path, args, dataset, np.arange(len(dataset)), labelled=labelled)


_ITEM = 0x17E3


def _kind(value: Any) -> str:
    """Return what a value is, in a few words."""
    if isinstance(value, Tensor | np.ndarray):
        return f"{value.dtype} of shape {tuple(value.shape)}"
    return f"the type {type(value).__name__}"


def _resolved(path: str) -> Any:
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise InputError.of(
            f"{path!r} is not an import path", key=("dataset",), valid="package.module:Class"
        )
    found: Any = _imported(module_name)
    for part in name.split("."):
        if not hasattr(found, part):
            missing = f"module {module_name!r} has no {name!r}"
            raise InputError.of(missing, key=("dataset",))
        found = getattr(found, part)
    return found


def _imported(name: str) -> ModuleType:
    # The rule of vision's `imports.load`; neither room may import the other.
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise  # another module, which the user's own wants to import
        missing = f"no module named {error.name!r} beside the spec or installed"
        raise InputError.of(missing, key=("dataset",)) from error


def _targets(dataset: Any) -> Labels | None:
    targets = getattr(dataset, "targets", None)
    if not isinstance(targets, list | tuple | np.ndarray | Tensor) or len(targets) != len(dataset):
        return None
    try:
        values = np.asarray(targets)
    except ValueError:  # lists of different lengths: no class numbers
        return None
    return values.astype(np.int64) if values.ndim == 1 and values.dtype.kind in "iu" else None


def _seeded(indices: Indices, key: tuple[int, int]) -> Iterator[tuple[int, int]]:
    return zip(indices.tolist(), seeds(_ITEM, key, indices), strict=True)

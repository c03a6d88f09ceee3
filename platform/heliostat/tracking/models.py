"""The registered models that are there: found by name, listed, and brought to this machine."""

from __future__ import annotations

import difflib
import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException

from heliostat.spec.problems import InputError
from heliostat.tracking import tags as tag
from heliostat.tracking.client import connect, reaching

_FORM = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>[1-9]\d*)|@(?P<alias>[^/@]+))")
_FORMS = "models:/name/3 or models:/name@alias"


@dataclass(frozen=True)
class ResolvedModel:
    """A registered model's version, by its number."""

    name: str
    version: int
    run_id: str
    """The run that made it; empty when MLflow was not told."""
    model_id: str
    """The logged model behind it: the same version number of another server is another model."""

    @property
    def uri(self) -> str:
        """Return models:/name/version."""
        return f"models:/{self.name}/{self.version}"


@dataclass(frozen=True)
class ModelRow:
    """A registered model's version, in a line."""

    name: str
    version: int
    aliases: tuple[str, ...]
    run_id: str
    created: datetime
    """UTC"""
    metric: str | None
    goal: str | None
    """maximize | minimize"""
    value: float | None


def resolve(uri: str, model: str) -> ResolvedModel:
    """Return what `model` (models:/name/3 or models:/name@alias) is now.

    Raises:
        InputError: it has another form, or there is no such name, version or alias; what there
            is instead is said, the nearest first.
        TrackingAway: MLflow can't be reached.
    """
    parts = _FORM.fullmatch(model)
    if not parts:
        raise InputError.of(f"{model!r} is no registered model's address", valid=_FORMS)
    name, version, alias = parts["name"], parts["version"], parts["alias"]
    with reaching(uri):
        client = connect(uri)
        registered = _registered(client, name)
        if alias is not None:
            if alias not in registered.aliases:
                raise _unknown(f"model {name} has no alias {alias!r}", alias, registered.aliases)
            version = registered.aliases[alias]
        found = _found(client, name, str(version))
        return ResolvedModel(
            name, int(version), found.run_id or "", found.tags.get(tag.LOGGED_MODEL, "")
        )


def download(uri: str, resolved: ResolvedModel, dest: Path) -> Path:
    """Bring the model's files into the folder `dest`, whole or not at all; return `dest`.

    A `dest` that is there already is taken as it is: a version's files don't change.
    """
    if dest.exists():
        return dest
    dest.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=dest.parent, prefix=f".{dest.name}.") as work:
        with reaching(uri):
            source = connect(uri).get_model_version_download_uri(
                resolved.name, str(resolved.version)
            )
            got = download_artifacts(artifact_uri=source, dst_path=work, tracking_uri=uri)
        try:
            os.replace(got, dest)
        except OSError:
            if not dest.is_dir():  # else another process was first, with the same files
                raise
    return dest


def weights_file(folder: Path) -> Path:
    """Return the weights.safetensors of a downloaded model.

    Raises:
        InputError: the model has none: it was not registered by heliostat.
    """
    for place in ("extra_files", "artifacts"):  # an exported model, one from code
        if (file := folder / place / "weights.safetensors").is_file():
            return file
    raise InputError.of(
        f"the model in {folder} has no weights.safetensors",
        valid="a model that heliostat registered, or the path of a .safetensors file",
    )


def list_models(uri: str) -> list[ModelRow]:
    """Return all registered versions, by name and then newest first; none is no error."""
    with reaching(uri):
        client = connect(uri)
        return [
            _row(version, model)
            for model in sorted(_all(client), key=lambda one: str(one.name))
            for version in sorted(_versions(client, model.name), key=_number, reverse=True)
        ]


def version_row(client: MlflowClient, name: str, version: str) -> ModelRow:
    """Return one version's row; it must be there."""
    return _row(client.get_model_version(name, version), client.get_registered_model(name))


def _registered(client: MlflowClient, name: str) -> RegisteredModel:
    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        names = [one.name for one in _all(client)]
        raise _unknown(f"no registered model is named {name!r}", name, names) from None


def _found(client: MlflowClient, name: str, version: str) -> ModelVersion:
    try:
        return client.get_model_version(name, version)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        there = [str(number) for number in sorted(map(_number, _versions(client, name)))]
        raise _unknown(f"model {name} has no version {version}", "", there) from None


def _unknown(problem: str, given: str, there: Iterable[str]) -> InputError:
    names = sorted(there) if given else list(there)
    if not names:
        return InputError.of(problem, valid="there is none")
    near = difflib.get_close_matches(given, names, n=1)
    listed = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    return InputError.of(
        problem, valid=(f"did you mean {near[0]}? " if near else "") + f"there is: {listed}"
    )


def _all(client: MlflowClient) -> list[RegisteredModel]:
    found: list[RegisteredModel] = []
    token: str | None = ""
    while token is not None:
        page = client.search_registered_models(page_token=token or None)
        found += page
        token = page.token or None
    return found


def _versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    found: list[ModelVersion] = []
    token: str | None = ""
    while token is not None:
        page = client.search_model_versions(f"name='{name}'", page_token=token or None)
        found += page
        token = page.token or None
    return found


def _number(version: ModelVersion) -> int:
    return int(version.version)


def _row(version: ModelVersion, model: RegisteredModel) -> ModelRow:
    value = version.tags.get(tag.OBJECTIVE_VALUE)
    held = (alias for alias, number in model.aliases.items() if int(number) == _number(version))
    return ModelRow(
        name=model.name,
        version=_number(version),
        aliases=tuple(sorted(held)),
        run_id=version.run_id or "",
        created=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
        metric=version.tags.get(tag.OBJECTIVE),
        goal=version.tags.get(tag.GOAL),
        value=None if value is None else float(value),
    )

"""Registered models: a version per trained model, and an alias that only a better one takes."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Literal

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from heliostat.spec.problems import InputError
from heliostat.tracking import tags as tag
from heliostat.tracking.client import connect, reaching
from heliostat.tracking.models import ModelRow, resolve, version_row

Goal = Literal["maximize", "minimize"]

_VERSIONS = "mlflow.modelVersions"  # on a logged model: what the run's page shows as registered


@dataclass(frozen=True)
class Registered:
    """What came of registering a model."""

    name: str
    version: int
    alias_set: bool
    """Whether the alias points at this version now."""
    reason: str
    """Why it does or doesn't, in a line; empty when no alias was asked for."""

    @property
    def uri(self) -> str:
        """Return models:/name/version."""
        return f"models:/{self.name}/{self.version}"


def register(
    uri: str,
    run_id: str,
    model_uri: str,
    *,
    name: str,
    alias: str | None = None,
    when: Literal["better", "always"] = "better",
    metric: str | None = None,
    goal: Goal = "maximize",
    value: float | None = None,
) -> Registered:
    """Register the run's logged model as a version of `name`, and move the alias if it is due.

    A model that is a version of `name` already (a resumed job) gets no second one.

    Args:
        uri: the tracking store.
        run_id: the run that made the model.
        model_uri: models:/m-…, from `log_model`.
        name: the registered model's name; made when it isn't there.
        alias: the alias that it may take.
        when: `always`, or `better`: only if `value` beats that of the version that holds it.
        metric: the objective's name.
        goal: which way the objective is better.
        value: the objective's value of this model.

    Raises:
        InputError: MLflow does not allow the name or the alias.
        TrackingAway: MLflow can't be reached.
    """
    with reaching(uri):
        client = connect(uri)
        model_id = model_uri.removeprefix("models:/")
        _make(client, name)
        version = _version(client, name, run_id, model_id)
        _describe(client, version, metric, goal, value)
        _show_on_model(client, version, model_id)
        client.set_tag(run_id, tag.MODEL, f"models:/{name}/{version.version}")
        if alias is None:
            return Registered(name, int(version.version), False, "")
        due, reason = _due(client, version_row(client, name, str(version.version)), alias, when)
        if due:
            _give(client, "register.alias", name, alias, int(version.version))
        return Registered(name, int(version.version), due, reason)


def promote(uri: str, name: str, version: int, alias: str) -> int | None:
    """Give `alias` to a version by hand; return the version that held it before, if any.

    Raises:
        InputError: there is no such model or version, or the alias is not allowed.
    """
    resolve(uri, f"models:/{name}/{version}")
    with reaching(uri):
        client = connect(uri)
        before = client.get_registered_model(name).aliases.get(alias)
        _give(client, "alias", name, alias, version)
    return None if before is None else int(before)


def _make(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code == "INVALID_PARAMETER_VALUE":
            raise InputError.of(error.message, key=("register", "name")) from None
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _give(client: MlflowClient, key: str, name: str, alias: str, version: int) -> None:
    try:
        client.set_registered_model_alias(name, alias, str(version))
    except MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        raise InputError.of(error.message, key=tuple(key.split("."))) from None


def _version(client: MlflowClient, name: str, run_id: str, model_id: str) -> ModelVersion:
    for version in client.search_model_versions(f"name='{name}' and run_id='{run_id}'"):
        if version.tags.get(tag.LOGGED_MODEL) == model_id:
            return version
    # The place of the files, not models:/m-…: MLflow would look that up at its global address.
    source = client.get_logged_model(model_id).artifact_location
    tags = {tag.LOGGED_MODEL: model_id}
    return client.create_model_version(name, source, run_id=run_id, model_id=model_id, tags=tags)


def _describe(
    client: MlflowClient, version: ModelVersion, metric: str | None, goal: Goal, value: float | None
) -> None:
    if metric is None or value is None:
        return
    facts = {tag.OBJECTIVE: metric, tag.GOAL: goal, tag.OBJECTIVE_VALUE: repr(float(value))}
    for key, text in facts.items():
        client.set_model_version_tag(version.name, version.version, key, text)


def _show_on_model(client: MlflowClient, version: ModelVersion, model_id: str) -> None:
    shown = json.loads(client.get_logged_model(model_id).tags.get(_VERSIONS, "[]"))
    if not any(
        s["name"] == version.name and int(s["version"]) == int(version.version) for s in shown
    ):
        shown.append({"name": version.name, "version": version.version})
        client.set_logged_model_tags(model_id, {_VERSIONS: json.dumps(shown)})


def _due(client: MlflowClient, mine: ModelRow, alias: str, when: str) -> tuple[bool, str]:
    """Say whether the alias is to point at version `mine`, and why."""
    holder = client.get_registered_model(mine.name).aliases.get(alias)
    if holder is None:
        return True, f"nothing held {alias} before"
    if int(holder) == mine.version:
        return True, f"version {holder} holds {alias} already"
    if when == "always":
        return True, f"{alias} moved from version {holder}"
    theirs = version_row(client, mine.name, str(holder))
    if mine.value is None or theirs.value is None or mine.metric != theirs.metric:
        return False, (
            f"{alias} stays with version {holder}: its {theirs.metric or 'unknown objective'}"
            f" can't be compared with this one's {mine.metric or 'unknown objective'}"
        )
    told = f"{mine.metric} {mine.value:.6g} against {theirs.value:.6g}"
    if _beats(mine.value, theirs.value, mine.goal):
        return True, f"{alias} moved from version {holder}: {told}"
    return False, f"{alias} stays with version {holder}, which is not beaten: {told}"


def _beats(mine: float, theirs: float, goal: str | None) -> bool:
    if math.isnan(mine) or math.isnan(theirs):
        return math.isnan(theirs) and not math.isnan(mine)
    return mine < theirs if goal == "minimize" else mine > theirs

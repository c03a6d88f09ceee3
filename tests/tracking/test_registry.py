"""Versions, aliases, and models found by name."""

from __future__ import annotations

from collections.abc import Callable
from math import nan
from pathlib import Path

import pytest
from mlflow import MlflowClient

from heliostat.spec.problems import InputError
from heliostat.tracking.models import list_models, resolve, weights_file
from heliostat.tracking.registry import Registered, promote, register

Train = Callable[..., Registered]


@pytest.fixture
def train(start: Callable[..., str], uri: str, client: MlflowClient) -> Train:
    """Run a job that ends with a model and registers it as `m`, for the alias champion."""

    def job_with(value: float | None, job: str, when: str = "better", **given: str) -> Registered:
        run_id = start(job)
        run = client.get_run(run_id)
        outputs = run.outputs.model_outputs if run.outputs else []
        if outputs:
            model_id = outputs[0].model_id
        else:
            model_id = client.create_logged_model(
                run.info.experiment_id, "model", source_run_id=run_id
            ).model_id
        known = {"name": "m", "alias": "champion", "metric": "val/accuracy", "goal": "maximize"}
        facts = {**known, **given}
        return register(uri, run_id, f"models:/{model_id}", when=when, value=value, **facts)

    return job_with


def _holder(uri: str) -> int:
    return resolve(uri, "models:/m@champion").version


def test_only_a_better_model_takes_the_alias(train: Train, uri: str) -> None:
    assert train(0.8, "a") == Registered("m", 1, True, "nothing held champion before")
    worse = train(0.7, "b")
    assert (worse.version, worse.alias_set, _holder(uri)) == (2, False, 1)
    assert worse.reason == (
        "champion stays with version 1, which is not beaten: val/accuracy 0.7 against 0.8"
    )
    assert train(0.8, "c").alias_set is False
    assert train(nan, "d").alias_set is False
    better = train(0.9, "e")
    assert (better.alias_set, _holder(uri), better.uri) == (True, 5, "models:/m/5")
    assert better.reason == "champion moved from version 1: val/accuracy 0.9 against 0.8"
    assert train(0.1, "f", when="always").alias_set is True
    assert _holder(uri) == 6


def test_what_cannot_be_compared_leaves_the_alias_and_says_so(train: Train, uri: str) -> None:
    train(0.8, "a")
    other = train(0.1, "b", metric="val/loss", goal="minimize")
    assert not other.alias_set
    assert "its val/accuracy can't be compared with this one's val/loss" in other.reason
    assert promote(uri, "m", 2, "champion") == 1
    assert train(0.05, "c", metric="val/loss", goal="minimize").alias_set
    assert not train(0.06, "d", metric="val/loss", goal="minimize").alias_set


def test_a_run_page_names_the_version_that_came_of_it(
    train: Train, uri: str, client: MlflowClient
) -> None:
    version = client.get_model_version("m", str(train(0.8, "a").version))
    assert client.get_run(version.run_id).data.tags["heliostat.model"] == "models:/m/1"
    tags = client.get_logged_model(resolve(uri, "models:/m/1").model_id).tags
    assert '"name": "m"' in tags["mlflow.modelVersions"]


def test_a_model_registered_again_gets_no_second_version(
    uri: str, start: Callable[..., str], client: MlflowClient
) -> None:
    run_id = start()
    experiment = client.get_run(run_id).info.experiment_id
    model = client.create_logged_model(experiment, "model", source_run_id=run_id)
    for _ in range(2):
        got = register(uri, run_id, model.model_uri, name="m", alias="champion")
        assert (got.version, got.alias_set) == (1, True)
    assert [(row.name, row.version) for row in list_models(uri)] == [("m", 1)]


def test_models_are_listed_with_their_aliases_and_objective(train: Train, uri: str) -> None:
    assert list_models(uri) == []
    train(0.8, "a")
    train(0.7, "b")
    train(None, "c", name="a-model")
    rows = [(row.name, row.version, row.aliases, row.metric, row.value) for row in list_models(uri)]
    assert rows == [
        ("a-model", 1, ("champion",), None, None),
        ("m", 2, (), "val/accuracy", 0.7),
        ("m", 1, ("champion",), "val/accuracy", 0.8),
    ]


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ("models:/digit@champion", "no registered model is named 'digit'; did you mean digits?"),
        ("models:/digits@champ", "model digits has no alias 'champ'; did you mean champion? there"),
        ("models:/digits/7", "model digits has no version 7; there is: 1, 2"),
        ("models:/digits/latest", "no registered model's address; models:/name/3 or"),
        ("runs:/abc/model", "no registered model's address; models:/name/3 or"),
    ],
)
def test_a_model_that_is_not_there_is_told_with_what_is(
    train: Train, uri: str, model: str, problem: str
) -> None:
    train(0.8, "a", name="digits")
    train(0.7, "b", name="digits")
    with pytest.raises(InputError) as error:
        resolve(uri, model)
    assert problem in str(error.value)


def test_with_no_models_at_all_the_answer_says_so(uri: str) -> None:
    with pytest.raises(InputError, match="no registered model is named 'm'; there is none"):
        resolve(uri, "models:/m/1")


def test_names_that_mlflow_does_not_allow_are_the_users_mistake(train: Train, uri: str) -> None:
    with pytest.raises(InputError, match=r"^register\.name: "):
        train(0.8, "a", name="a/b")
    with pytest.raises(InputError, match=r"^register\.alias: "):
        train(0.8, "b", alias="v1")
    with pytest.raises(InputError, match="has no version 9"):
        promote(uri, "m", 9, "champion")


def test_a_model_without_safetensors_cannot_give_its_weights(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no weights\.safetensors"):
        weights_file(tmp_path)

"""What a run was."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from ruamel.yaml import YAML

from heliostat.tracking.datasets import DatasetFacts, log_datasets
from heliostat.tracking.describe import attach, describe, parameters
from heliostat.tracking.provenance import DIFF_BYTES, git

SPEC = {
    "kind": "train",
    "model": {"name": "cnn", "args": {}, "weights": None},
    "optimizer": {"lr": 0.1, "nesterov": False},
    "data": {"augment": [{"name": "random_crop", "padding": 2}]},
    "epochs": 5,
}


def _describe(uri: str, run_id: str, folder: Path, resolved: dict[str, Any]) -> None:
    describe(
        uri,
        run_id,
        kind="train",
        spec_text="kind: train  # größer\n",
        resolved=resolved,
        command=["helio", "run", "my job.yaml"],
        folder=folder,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A git checkout with one commit, and a spec's folder in it."""
    root = tmp_path / "checkout"
    (root / "jobs").mkdir(parents=True)
    (root / "net.py").write_text("width = 1\n")
    _git(root, "init", "-q", "-b", "work")
    _git(root, "add", ".")
    _git(root, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "first")
    return root


def test_a_run_holds_its_spec_parameters_code_and_packages(
    start: Callable[..., str], uri: str, client: MlflowClient, checkout: Path, tmp_path: Path
) -> None:
    (checkout / "net.py").write_text("width = 2\n")
    (checkout / "new.py").touch()
    run_id = start()
    _describe(uri, run_id, checkout / "jobs", SPEC)

    data = client.get_run(run_id).data
    assert data.params == {
        "kind": "train",
        "model.name": "cnn",
        "optimizer.lr": "0.1",
        "optimizer.nesterov": "false",
        "data.augment": '[{"name": "random_crop", "padding": 2}]',
        "epochs": "5",
    }
    assert data.tags["heliostat.kind"] == "train"
    assert data.tags["heliostat.command"] == "helio run 'my job.yaml'"
    assert data.tags["heliostat.version.torch"].startswith("2.")
    assert len(data.tags["mlflow.source.git.commit"]) == 40
    assert data.tags["mlflow.source.git.branch"] == "work"
    assert data.tags["heliostat.git.dirty"] == "true"

    got = Path(client.download_artifacts(run_id, "", str(tmp_path / "got")))
    assert (got / "spec.yaml").read_text(encoding="utf-8") == "kind: train  # größer\n"
    assert YAML(typ="safe").load(got / "resolved.yaml") == SPEC
    diff = (got / "git.diff").read_text()
    assert "-width = 1\n+width = 2\n" in diff
    assert "# untracked: new.py" in diff
    assert any(x.startswith("mlflow==") for x in (got / "requirements.txt").read_text().split())


def test_a_resume_with_a_higher_limit_keeps_the_first_value_and_tags_the_new_one(
    start: Callable[..., str], uri: str, client: MlflowClient, tmp_path: Path
) -> None:
    run_id = start()
    wide = {f"a{n}": n for n in range(150)}
    for epochs in (5, 10):
        _describe(uri, run_id, tmp_path, {**SPEC, "epochs": epochs, "wide": wide})
    data = client.get_run(run_id).data
    assert data.params["epochs"] == "5"
    assert data.tags["heliostat.resumed.epochs"] == "10"
    assert data.params["wide.a149"] == "149"


def test_a_value_beyond_mlflows_limit_is_cut() -> None:
    got = parameters({"text": "x" * 9000})["text"]
    assert len(got) == 6000
    assert got.endswith("x…")


def test_outside_a_checkout_there_is_no_git_state(tmp_path: Path) -> None:
    assert git(tmp_path) is None


def test_a_clean_checkout_is_clean_and_a_huge_diff_is_cut(checkout: Path) -> None:
    state = git(checkout)
    assert state
    assert not state.dirty
    (checkout / "net.py").write_text("é" * DIFF_BYTES)
    huge = git(checkout)
    assert huge
    assert huge.dirty
    assert len(huge.diff.encode()) < DIFF_BYTES + 100
    assert "# … cut" in huge.diff


def test_datasets_are_inputs_of_the_run_however_often_they_are_told(
    start: Callable[..., str], uri: str, client: MlflowClient
) -> None:
    def facts(context: str, split: str, fingerprint: str) -> DatasetFacts:
        return DatasetFacts(context, "digits", "/d/digits", split, fingerprint, 100, ("0", "1"))

    run_id = start()
    both = [
        facts("train", "train[:100]", "ab" * 32),
        facts("val", "train[100:]", "ab" * 32),
        facts("test", "train[100:]", "ab" * 32),
    ]
    log_datasets(uri, run_id, both)
    log_datasets(uri, run_id, both)
    inputs = client.get_run(run_id).inputs.dataset_inputs
    got = {one.dataset.name: (one.dataset, one.tags[0].value) for one in inputs}
    assert {name: context for name, (_, context) in got.items()} == {
        "digits train[:100]": "train",
        "digits train[100:]": "val, test",
    }
    dataset = got["digits train[:100]"][0]
    assert ("ab" * 32).startswith(dataset.digest)
    assert json.loads(dataset.source) == {"uri": "/d/digits"}
    assert json.loads(dataset.profile)["num_rows"] == 100


def test_a_file_is_stored_with_the_run(
    start: Callable[..., str], uri: str, client: MlflowClient, tmp_path: Path
) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    run_id = start()
    attach(uri, run_id, tmp_path / "manifest.json", place="checkpoint")
    assert [i.path for i in client.list_artifacts(run_id, "checkpoint")] == [
        "checkpoint/manifest.json"
    ]


def _git(folder: Path, *args: str) -> None:
    subprocess.run(["git", "-C", str(folder), *args], check=True)

"""What `helio run` of a train spec leaves behind, seen as its user sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from command import DIGITS, ROOT, Helio
from heliostat.training.journal import events, read_all


@pytest.fixture(scope="module")
def client(helio: Helio) -> MlflowClient:
    return MlflowClient(helio.tracking)


@pytest.fixture(scope="module")
def run(client: MlflowClient, digits: dict[str, Any]) -> Run:
    return client.get_run(digits["run_id"])


def test_the_outcome_names_the_model_and_the_metrics_of_val_and_test(
    digits: dict[str, Any],
) -> None:
    assert digits["status"] == "FINISHED"
    assert digits["model"] == "models:/digits/1"
    assert digits["metrics"]["test/accuracy"] > 0.9
    assert digits["metrics"]["test/seen"] == digits["metrics"]["val/seen"] == 270
    assert "error" not in digits


def test_two_workers_trained_under_ray(helio: Helio, digits: dict[str, Any]) -> None:
    records = read_all(helio.folder(digits["job"]) / "journal")
    assert {r["rank"] for r in events(records, "first_step")} == {0, 1}
    assert [r["world_size"] for r in events(records, "attempt_started")] == [2]


def test_mlflow_holds_every_record_of_the_journal_once(
    helio: Helio, digits: dict[str, Any], client: MlflowClient
) -> None:
    records = read_all(helio.folder(digits["job"]) / "journal")
    written = Counter((r["name"], r["step"]) for r in records if r["kind"] == "metric")
    assert set(written.values()) == {1}
    for name in ("train/loss", "val/accuracy", "test/accuracy", "train/images_per_second"):
        steps = [step for metric, step in written if metric == name]
        history = client.get_metric_history(digits["run_id"], name)
        assert [point.step for point in history] == sorted(steps)
    assert sum(name == "test/accuracy" for name, _ in written) == 1
    assert sum(name == "val/accuracy" for name, _ in written) == 3


def test_the_run_says_what_was_run_on_what(
    run: Run, client: MlflowClient, digits: dict[str, Any]
) -> None:
    assert run.info.status == "FINISHED"
    assert run.data.params["optimizer.name"] == "adamw"
    assert run.data.params["epochs"] == "3"
    assert run.data.tags["heliostat.job"] == digits["job"]
    assert run.data.tags["heliostat.attempts"] == "1"
    assert len(run.data.tags["mlflow.source.git.commit"]) == 40
    assert run.data.tags["heliostat.version.torch"]
    contexts = {tag.value for data in run.inputs.dataset_inputs for tag in data.tags}
    assert contexts == {"train", "val", "test"}
    artifacts = {item.path for item in client.list_artifacts(digits["run_id"])}
    assert artifacts >= {"spec.yaml", "resolved.yaml", "requirements.txt", "checkpoints"}


def test_system_metrics_of_every_worker_are_there(run: Run) -> None:
    for rank in (0, 1):
        assert run.data.metrics[f"system/rank_{rank}/process_memory_pss_megabytes"] > 10


def test_pictures_are_there_and_are_images(client: MlflowClient, digits: dict[str, Any]) -> None:
    from PIL import Image

    for name in ("confusion_matrix", "samples"):
        path = client.download_artifacts(digits["run_id"], f"pictures/test/{name}.png")
        with Image.open(path) as image:
            assert min(image.size) > 300


def test_nothing_in_the_jobs_folder_or_the_store_is_a_pickle(
    helio: Helio, digits: dict[str, Any]
) -> None:
    folders = (helio.folder(digits["job"]), helio.home / "artifacts")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    ours = [path for path in files if "ray" not in path.relative_to(helio.home).parts[2:3]]
    assert [p for p in ours if p.suffix in {".pkl", ".pickle", ".pth", ".pt", ".bin"}] == []


ALONE = """
import json, os, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "heliostat":
            raise ImportError("heliostat must not be needed")
sys.meta_path.insert(0, Blocked())
import mlflow, numpy as np, warnings
from sklearn.datasets import load_digits
uri, rows = sys.argv[1], json.loads(sys.argv[2])
mlflow.set_tracking_uri(uri)
model = mlflow.pyfunc.load_model("models:/digits@champion")
digits = load_digits()
images = np.rint(digits.images[rows] * 255 / 16).astype(np.uint8)[:, None]
for size in (1, 2, 7):
    assert model.predict(images[:size]).shape == (size, 10)
right = (model.predict(images).argmax(1) == digits.target[rows]).mean()
assert model.metadata.signature.inputs.inputs[0].shape == (-1, 1, 8, 8)
assert model.input_example is not None
print(json.dumps(float(right)))
"""


def test_the_registered_model_needs_no_heliostat_and_gives_the_runs_own_test_accuracy(
    helio: Helio, digits: dict[str, Any]
) -> None:
    from heliostat.data import open_source
    from heliostat.spec import Source

    test = open_source(Source(uri="sklearn:digits", split="all[85%:]"))
    rows = [int(test.source(i).rpartition("#")[2]) for i in range(len(test))]
    env = {k: v for k, v in helio.env.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", ALONE, helio.tracking, json.dumps(rows)],
        env={**env, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
        cwd=helio.home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == digits["metrics"]["test/accuracy"]


def test_the_weights_load_for_fine_tuning(helio: Helio, digits: dict[str, Any]) -> None:
    options = ["--set", "model.weights=models:/digits@champion", "--set", "max_steps=1"]
    done = helio("run", DIGITS / "train.yaml", "--local", "--json", *options)
    assert done.status == 0, done.err
    # One step from the champion's weights at the schedule's first, smallest rate.
    assert done.document["metrics"]["test/accuracy"] > 0.9


def test_a_worse_model_is_registered_and_does_not_take_the_alias(
    helio: Helio, digits: dict[str, Any], client: MlflowClient
) -> None:
    done = helio("run", DIGITS / "train.yaml", "--local", "--json", "--set", "max_steps=1")
    assert done.status == 0, done.err
    worse = done.document
    assert worse["metrics"]["val/accuracy"] < digits["metrics"]["val/accuracy"]
    assert worse["model"].startswith("models:/digits/")
    holder = client.get_model_version_by_alias("digits", "champion")
    assert worse["model"] != f"models:/digits/{holder.version}"


def test_the_tables_show_the_run_and_the_model(helio: Helio, digits: dict[str, Any]) -> None:
    runs = helio("runs", "--json")
    assert digits["job"] in {row["job"] for row in runs.document["runs"]}
    models = helio("models", "--json")
    assert ("digits", 1) in {(r["name"], r["version"]) for r in models.document["models"]}


def test_sync_sends_a_jobs_journal_to_another_server_whole(
    helio: Helio, digits: dict[str, Any], tmp_path: Path
) -> None:
    other = f"sqlite:///{tmp_path}/other.db"
    done = helio("sync", digits["job"], "--json", env={"MLFLOW_TRACKING_URI": other})
    assert done.status == 0, done.err
    client = MlflowClient(other)
    found = client.search_runs(["1"], f"tags.`heliostat.job` = '{digits['job']}'")
    assert [run.info.status for run in found] == ["FINISHED"]
    assert found[0].data.metrics["test/accuracy"] == digits["metrics"]["test/accuracy"]


def test_local_runs_where_neither_ray_nor_mlflow_can_be_imported(
    helio: Helio, tmp_path: Path
) -> None:
    block = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('ray', 'mlflow')))\n"
        "import importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n in ('ray', 'mlflow') else find(n, *a)\n"
        "from heliostat.cli.main import main\n"
        "sys.exit(main())\n"
    )
    arguments = ["run", str(DIGITS / "train.yaml"), "--local", "--json", "--set", "max_steps=25"]
    done = subprocess.run(
        [sys.executable, "-c", block, *arguments],
        env={**helio.env, "HELIO_HOME": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert (outcome["status"], outcome["run_id"]) == ("FINISHED", None)
    records = read_all(tmp_path / "jobs" / outcome["job"] / "journal")
    recorded = {r["name"]: r["value"] for r in records if r["kind"] == "metric"}
    assert recorded["test/accuracy"] == outcome["metrics"]["test/accuracy"]

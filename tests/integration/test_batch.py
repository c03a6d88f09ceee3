"""Prediction and evaluation with a registered model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from command import DIGITS, Helio, Here, sets
from heliostat.data import open_source
from heliostat.spec import Source


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve digits as PNG, a truncated one and one that is no image at all."""
    folder = tmp_path_factory.mktemp("images")
    digits = open_source(Source(uri="sklearn:digits", split="all[85%:]"))
    inputs, _ = digits.read(np.arange(12))
    for number, pixels in enumerate(inputs.numpy()):
        Image.fromarray(pixels[0]).save(folder / f"digit-{number:02d}.png")
    whole = (folder / "digit-00.png").read_bytes()
    (folder / "torn.png").write_bytes(whole[: len(whole) // 2])
    (folder / "words.png").write_text("not an image")
    return folder


def test_evaluation_by_two_workers_gives_the_figures_that_the_run_gave(
    helio: Helio, here: Here, digits: dict[str, Any]
) -> None:
    done = helio("run", DIGITS / "evaluate.yaml", "--json", "--set", "batch_size=50")
    assert done.status == 0, done.err
    expected = {k: v for k, v in digits["metrics"].items() if k.startswith("test/")}
    found = done.document["metrics"]
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        # Counts are the same; the exported graph may round a probability's last digit otherwise.
        of_probabilities = "loss" in name or "calibration" in name
        assert found[name] == pytest.approx(value, abs=1e-6 if of_probabilities else 0)
    alone = here("run", DIGITS / "evaluate.yaml", "--local", settings=["batch_size=270"])
    # Of all rows: not of those that one worker, or the first range, has.
    assert pictures(helio, alone["job"]) == pictures(helio, done.document["job"])


def pictures(helio: Helio, job: str) -> dict[str, bytes]:
    """Return the files of an evaluation's pictures."""
    files = (helio.folder(job) / "pictures" / "test").glob("*.png")
    drawn = {path.name: path.read_bytes() for path in files}
    assert len(drawn) == 3
    return drawn


def test_prediction_gives_a_row_for_every_input_and_names_the_model(
    helio: Helio, digits: dict[str, Any], images: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out" / "predictions.parquet"
    options = sets([f"input={images}", f"output={output}", "batch_size=5"])
    done = helio("run", DIGITS / "predict.yaml", "--json", *options)
    assert done.status == 0, done.err
    assert done.document["output"] == str(output)
    assert done.document["metrics"] == {"predict/rows": 14, "predict/errors": 2}
    assert "2 of 14 inputs could not be read" in done.err
    table = pq.read_table(output)
    facts = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert facts["heliostat.model"] == "models:/digits/1"
    assert facts["heliostat.run_id"] == digits["run_id"]
    rows = pd.read_parquet(output)
    assert [Path(source).name for source in rows["source"]] == sorted(
        path.name for path in images.iterdir()
    )
    classes = json.loads(facts["heliostat.classes"])
    good = rows[rows["error"].isna()]
    assert len(good) == 12
    for row in good.itertuples():
        assert sum(row.probabilities) == pytest.approx(1, abs=1e-5)
        assert row.label == classes[int(np.argmax(row.probabilities))]
        assert row.probability == pytest.approx(max(row.probabilities))
    bad = rows[~rows["error"].isna()]
    assert sorted(Path(source).name for source in bad["source"]) == ["torn.png", "words.png"]
    assert bad["label"].isna().all()


def test_prediction_in_this_process_equals_that_of_workers(
    helio: Helio, digits: dict[str, Any], tmp_path: Path
) -> None:
    output = tmp_path / "local.parquet"
    done = helio("run", DIGITS / "predict.yaml", "--local", "--json", "--set", f"output={output}")
    assert done.status == 0, done.err
    rows = pd.read_parquet(output)
    assert len(rows) == 270
    test = open_source(Source(uri="sklearn:digits", split="all[85%:]"))
    assert test.labels is not None
    truth = [test.classes[label] for label in test.labels]
    accuracy = float((rows["label"] == truth).mean())
    assert accuracy == digits["metrics"]["test/accuracy"]


def test_an_output_that_exists_is_refused_and_left_alone(
    helio: Helio, digits: dict[str, Any], tmp_path: Path
) -> None:
    output = tmp_path / "mine.parquet"
    output.write_text("mine")
    done = helio("run", DIGITS / "predict.yaml", "--set", f"output={output}")
    assert (done.status, done.out) == (2, "")
    assert "exists already" in done.err.splitlines()[-1]
    assert output.read_text() == "mine"


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("models:/digitz@champion", "digits"),
        ("models:/digits@chmpion", "champion"),
        ("models:/digits/99", "99"),
    ],
)
def test_a_model_that_is_not_there_is_one_line(
    helio: Helio, digits: dict[str, Any], model: str, says: str
) -> None:
    done = helio("run", DIGITS / "evaluate.yaml", "--local", "--set", f"model={model}")
    assert (done.status, done.out) == (2, "")
    line = done.err.splitlines()[-1]
    assert line.startswith(f"--set model={model}: model: ")
    assert says in line

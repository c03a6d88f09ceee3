"""Which registered models can be evaluated, and on what data: else a line that says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from heliostat.data import Samples, open_source
from heliostat.runtime.batch_worker import open_for
from heliostat.runtime.evaluable import check_samples, evaluable
from heliostat.runtime.registered_model import LocalModel
from heliostat.spec import EvaluateSpec, InputError, Source


def model(task: str, *classes: str, **args: Any) -> LocalModel:
    return LocalModel(
        uri="models:/m/1",
        name="m",
        version=1,
        run_id="0af3",
        folder="",
        classes=classes,
        shape=(1, 8, 8),
        dtype="uint8",
        task=task,
        task_args=args,
    )


@pytest.mark.parametrize(
    ("task", "why"),
    [
        (model("classification"), "classification needs classes, and the data names none"),
        (model("generation"), "generated images are measured by a classifier's features"),
        (model("generation", features="gone.pt2"), "features: there is no file gone.pt2"),
        (model("translation", "A", "B"), "l1 and dice need true pairs"),
    ],
)
def test_a_model_of_which_nothing_can_be_measured_is_one_line(task: LocalModel, why: str) -> None:
    with pytest.raises(InputError, match=why) as refused:
        evaluable(task)
    assert str(refused.value).startswith("model: models:/m/1 cannot be evaluated: ")
    assert "\n" not in str(refused.value)


def test_data_that_the_task_is_not_about_is_one_line_before_anything_begins() -> None:
    digits: Samples = open_source(Source(uri="sklearn:digits", split="all[:4]"))
    check_samples(model("classification", *digits.classes), digits)
    with pytest.raises(InputError, match="^data: the data has a class for each image; detection"):
        check_samples(model("detection", *digits.classes), digits)


@pytest.mark.parametrize("names", [("A", "B"), ("B", "A")])
def test_a_translators_data_is_pairs_in_the_order_of_the_domains_it_learned(
    names: tuple[str, str], tmp_path: Path
) -> None:
    for name, grey in (("A", 10), ("B", 200)):
        (tmp_path / name).mkdir()
        Image.new("L", (16, 16), grey).save(tmp_path / name / "1.png")
    spec = EvaluateSpec(
        kind="evaluate", name="e", model="models:/m/1", data=Source(uri=str(tmp_path))
    )
    pairs = open_for(model("translation", *names, paired=True), spec)
    inputs, _ = pairs.read(np.array([0]))
    first, second = inputs[0]
    greys = {"A": 10, "B": 200}
    assert first.shape == (1, 8, 8)
    assert [int(first[0, 0, 0]), int(second[0, 0, 0])] == [greys[name] for name in names]

"""The benchmark's own arithmetic, and the data it makes; it times nothing."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from make_cifar_like import read_idx, write_cifar_like
from measuring import steady_rate
from table import Row, as_markdown


def test_the_steady_rate_leaves_out_everything_before_the_warm_up() -> None:
    steps = [(10, 100.0), (20, 130.0), (30, 132.0), (40, 134.0)]
    assert steady_rate(steps, batch=256, warm_up=20) == pytest.approx(20 * 256 / 4)


def test_a_run_too_short_for_a_steady_rate_says_so() -> None:
    with pytest.raises(ValueError, match="fewer than two logged steps from step 20 on"):
        steady_rate([(10, 1.0), (20, 2.0)], batch=256, warm_up=20)


def test_sides_are_compared_pair_by_pair() -> None:
    ratio = Row("images/s", [90.0, 210.0, 300.0], [100.0, 200.0, 200.0], "≥ 0.97")
    difference = Row("memory", [500.0, 520.0], [450.0, 450.0], "≤ +160", difference=True)
    assert ratio.compared() == pytest.approx([0.9, 1.05, 1.5])
    assert difference.compared() == [50.0, 70.0]
    assert "| 1.050 (0.900 – 1.500) | ≥ 0.97 |" in as_markdown([ratio, difference])
    assert "| +60 (+50 – +70) |" in as_markdown([ratio, difference])


def test_the_cifar_like_batches_read_as_cifars_own(tmp_path: Path, shared_data: Path) -> None:
    fashion = shared_data / "fashion-mnist"
    folder = write_cifar_like(fashion, tmp_path, batch=50)
    with (folder / "data_batch_2").open("rb") as file:
        batch = pickle.load(file, encoding="bytes")
    rows, labels = read_idx(fashion, "train")
    assert batch[b"labels"] == labels[50:100]
    np.testing.assert_array_equal(batch[b"data"], rows[50:100])
    image = batch[b"data"][0].reshape(3, 32, 32)
    assert image[:, 2:30, 2:30].any()
    assert not image[:, :2].any()
    assert (image == image[0]).all()

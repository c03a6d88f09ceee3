"""A model that torch cannot export is registered as its code and its weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from command import DIGITS, Helio, make_helio

UNEXPORTABLE = '''
import torch
from torch import nn


class Branching(nn.Module):
    """Takes another way by what it sees: no graph holds both."""

    def __init__(self, num_classes, in_channels):
        super().__init__()
        self.one = nn.Linear(in_channels * 64, num_classes)

    def forward(self, images):
        if float(images.mean().item()) > 1e9:
            return self.one(images.flatten(1)) * 2
        return self.one(images.flatten(1))
'''

LOAD = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "heliostat":
            raise ImportError("heliostat must not be needed")
sys.meta_path.insert(0, Blocked())
import mlflow, numpy as np
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/digits@champion")
for size in (1, 2, 7):
    output = model.predict(np.full((size, 1, 8, 8), 100, np.uint8))
    assert output.shape == (size, 10) and np.allclose(output.sum(1), 1, atol=1e-5)
"""


def test_it_gives_the_runs_own_figures_and_loads_without_heliostat(tmp_path: Path) -> None:
    helio: Helio = make_helio(tmp_path / "home")
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "branching.py").write_text(UNEXPORTABLE)
    text = (DIGITS / "train.yaml").read_text()
    text = text.replace("{name: cnn_small}", "{name: 'branching:Branching'}")
    (folder / "train.yaml").write_text(text)
    options = ["--local", "--json", "--set", "max_steps=40"]
    done = helio("run", folder / "train.yaml", *options)
    assert done.status == 0, done.err
    assert "packaged as code" in done.err
    again = helio("run", DIGITS / "evaluate.yaml", "--local", "--json")
    assert again.status == 0, again.err
    for name in ("test/accuracy", "test/f1", "test/top5_accuracy"):
        assert again.document["metrics"][name] == done.document["metrics"][name]
    alone = subprocess.run(
        [sys.executable, "-I", "-c", LOAD, helio.tracking],
        env={**helio.env, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert alone.returncode == 0, alone.stderr

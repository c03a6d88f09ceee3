"""A small spec for each task, and what it reads, for tests of jobs that go on after a kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

STEPS = 12
"""Optimizer steps that each spec takes, five of them an epoch."""
BATCH = 6
"""Samples in a global batch: even slices for 1, 2 and 3 workers."""

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.GroupNorm(2, 16), nn.ReLU())
        self.last = nn.Conv2d(16, 32, 3)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(32, 10)
    def forward(self, images):
        return self.head(self.drop(self.last(self.second(self.first(images))).mean((2, 3))))

def steady():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.GroupNorm(2, 8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10)
    )

class Counting(nn.Module):
    # Its state is a plain number, which it gives and takes as torch says.
    def __init__(self):
        super().__init__()
        self.net, self.calls = steady(), 0
    def forward(self, images):
        self.calls += self.training
        return self.net(images) / (1 + self.calls)
    def get_extra_state(self):
        return {"calls": self.calls}
    def set_extra_state(self, state):
        self.calls = state["calls"]

def keras_net(num_classes, in_channels, size):
    import keras
    from keras import layers
    return keras.Sequential([
        keras.Input(shape=(*size, in_channels)),
        layers.Conv2D(8, kernel_size=(3, 3), activation="relu"),
        layers.BatchNormalization(),
        layers.Flatten(),
        layers.Dropout(0.5),
        layers.Dense(num_classes, activation="softmax"),
    ])
"""

_DIGITS = """
data:
  train: {uri: sklearn:digits, split: "all[:30]"}
  val: {uri: sklearn:digits, split: "all[30:50]"}
  test: {uri: sklearn:digits, split: "all[50:70]"}
  augment: [{random_crop: {padding: 1}}]
"""
_COMMON = f"""
kind: train
name: resumable
batch_size: {BATCH}
max_steps: {STEPS}
log_every: 2
checkpoint: {{every: 3 steps}}
resources: {{workers: [1, 3]}}
"""
_MODEL = 'model: {name: "nets:Net"}'
_ACCURACY = "objective: {metric: val/accuracy, goal: maximize}"

SPECS = {
    "classification": f"""{_COMMON}{_DIGITS}{_MODEL}
optimizer: {{name: sgd, lr: 0.05, momentum: 0.9, nesterov: true}}
schedule: {{name: one_cycle}}
accumulate: 2
clip_grad_norm: 1.0
ema: {{decay: 0.9}}
{_ACCURACY}
""",
    "steady": f"""{_COMMON}{_DIGITS}
model: {{name: "nets:steady"}}
optimizer: {{name: sgd, lr: 0.05, momentum: 0.9}}
""",
    "counting": f"""{_COMMON}{_DIGITS}
model: {{name: "nets:Counting"}}
optimizer: {{name: sgd, lr: 0.05, momentum: 0.9}}
""",
    "channels_last": f"""{_COMMON}{_DIGITS}
model: {{name: "nets:Net", channels_last: true}}
optimizer: {{name: adamw, lr: 0.01}}
schedule: {{name: cosine}}
{_ACCURACY}
""",
    "lion": f"""{_COMMON}{_DIGITS}{_MODEL}
optimizer: {{name: lion, lr: 0.001}}
schedule: {{name: step, every: 1, gamma: 0.5}}
""",
    "muon": f"""{_COMMON}{_DIGITS}{_MODEL}
optimizer: {{name: muon, lr: 0.01}}
schedule: {{name: polynomial}}
""",
    "keras": f"""{_COMMON}{_DIGITS}
model: {{name: "nets:keras_net"}}
optimizer: {{name: adam, lr: 0.01}}
{_ACCURACY}
""",
    "detection": f"""{_COMMON}
task: detection
model: {{name: fcos_small, args: {{min_size: 48}}}}
data:
  train: {{uri: boxes, split: "train[:30]"}}
  val: {{uri: boxes, split: "train[30:34]"}}
  augment: [RandomHorizontalFlip]
optimizer: {{name: adamw, lr: 0.001}}
clip_grad_norm: 10.0
objective: {{metric: val/map, goal: maximize}}
""",
    "segmentation": f"""{_COMMON}
task: {{name: segmentation, args: {{dice: 0.5}}}}
model: {{name: unet, args: {{base: 4, depth: 2}}}}
data:
  train: {{uri: masks, split: "train[:30]"}}
  val: {{uri: masks, split: "train[30:34]"}}
  augment: [RandomHorizontalFlip, {{ElasticTransform: {{fill: 255}}}}]
optimizer: {{name: adamw, lr: 0.001}}
""",
    "generation": f"""{_COMMON}
task: {{name: generation}}
model: {{name: dcgan, args: {{width: 4}}}}
data:
  train: {{uri: boxes, split: "train[:30]"}}
  val: {{uri: boxes, split: "train[30:34]"}}
optimizer: {{name: adam, lr: 0.001, betas: [0.5, 0.999]}}
ema: {{decay: 0.9}}
""",
    "translation": f"""{_COMMON}
task: {{name: translation, args: {{paired: true}}}}
model: {{name: cyclegan, args: {{width: 4, blocks: 1, layers: 1, pool: 4}}}}
data:
  train: {{uri: domains, split: "train[:30]"}}
  val: {{uri: domains, split: "train[30:34]"}}
  augment: [{{random_crop: {{size: 24}}}}, horizontal_flip]
optimizer: {{name: adam, lr: 0.001, betas: [0.5, 0.999]}}
schedule: {{name: polynomial}}
""",
}


def write_specs(folder: Path, names: list[str]) -> list[Path]:
    """Write the specs of these names, with what they read, and return where they are."""
    (folder / "nets.py").write_text(NET)
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (34, 32, 32, 3), np.uint8)
    boxes: list[Any] = []
    for number, pixels in enumerate(pictures):
        left, top, width, height = (int(n) for n in random.integers(4, 14, 4))
        inside = np.zeros((32, 32), np.uint8)
        inside[top : top + height, left : left + width] = 255
        pixels[inside > 0] //= 4
        name = f"{number:02}.png"
        _save(pixels, folder / "boxes" / "train" / name)
        _save(pixels, folder / "masks" / "train" / "image" / name)
        _save(inside, folder / "masks" / "train" / "label" / name)
        _save(pixels, folder / "domains" / "trainA" / name)
        _save(np.stack([inside] * 3, -1), folder / "domains" / "trainB" / name)
        boxes.append((number, name, [left, top, width, height]))
    coco = {
        "images": [{"id": n, "file_name": f, "width": 32, "height": 32} for n, f, _ in boxes],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "bbox": box, "area": box[2] * box[3]}
            for n, _, box in boxes
        ],
        "categories": [{"id": 1, "name": "dark"}],
    }
    (folder / "boxes" / "train" / "_annotations.coco.json").write_text(json.dumps(coco))
    paths = [folder / f"{name}.yaml" for name in names]
    for path in paths:
        path.write_text(SPECS[path.stem])
    return paths


def _save(pixels: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)

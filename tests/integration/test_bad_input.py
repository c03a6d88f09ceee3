"""Bad input gets one line a mistake, with its place and what would be valid; nothing is started."""

from __future__ import annotations

import json
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from command import Done, Helio
from heliostat import spec as specs
from heliostat.cli.main import main
from heliostat.runtime.failures import Fault, explain
from heliostat.runtime.job import Job
from heliostat.runtime.local_training import run_here
from heliostat.spec import TrainSpec

TRAIN: dict[str, Any] = {
    "kind": "train",
    "name": "digits",
    "model": {"name": "cnn_small"},
    "data": {
        "train": {"uri": "sklearn:digits", "split": "all[:200]"},
        "val": {"uri": "sklearn:digits", "split": "all[200:260]"},
    },
    "batch_size": 50,
    "optimizer": {"name": "sgd", "lr": 0.1},
    "max_steps": 4,
}
PREDICT = {
    "kind": "predict",
    "name": "predictions",
    "model": "models:/digits@champion",
    "input": "sklearn:digits",
    "output": "out.parquet",
}

OWN = """
import torch
from torch import nn

depth = 3

class Items(torch.utils.data.Dataset):
    classes = ["a", "b", "c"]
    def __init__(self, how="", at=0, size=20):
        self.how, self.at, self.size = how, at, size
        if how != "untold":
            self.targets = [-1 if how == "negative" and i == at else i % 3 for i in range(size)]
    def __len__(self):
        return self.size
    def __getitem__(self, i):
        if self.how == "alone":
            return torch.rand(1, 8, 8)
        item = torch.rand(1, 7 if i == self.at and self.how == "narrow" else 8, 8)
        if i == self.at and self.how == "nan":
            item[:] = torch.nan
        if self.how == "words":
            return item, "a"
        if self.how == "half":
            return item, 0.5
        return item, 7 if i == self.at and self.how == "untold" else i % 3

class Outer:
    class Net(nn.Module):
        def __init__(self, num_classes, more=0):
            super().__init__()
            self.layer = nn.Linear(64, num_classes + more)
        def forward(self, images):
            return self.layer(images.flatten(1))

class Pair(Outer.Net):
    def forward(self, images):
        return super().forward(images), images

class Fixed(nn.Module):
    def forward(self, images):
        return torch.zeros(len(images), 10)

class Moody(Outer.Net):
    def forward(self, images):
        return super().forward(images)[:, :9] if self.training else super().forward(images)

def number():
    return 3
"""


@dataclass(frozen=True)
class Bench:
    """A folder with a spec and the user's modules, and a HELIO_HOME that nobody used yet."""

    folder: Path
    home: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, *argv: str | Path) -> Done:
        """Type `helio …` in this process, which imports torch only once."""
        self.capture.readouterr()
        status = main([str(word) for word in argv])
        return Done(status, *self.capture.readouterr())

    def spec(self, base: Mapping[str, Any], changes: Mapping[str, Any]) -> Path:
        """Write `base` with changes at dotted keys: as JSON, which is YAML, a key on a line."""
        values = deepcopy(dict(base))
        for key, value in changes.items():
            *parents, last = key.split(".")
            holder = values
            for parent in parents:
                holder = holder.setdefault(parent, {})
            holder[last] = value
        return self.text(json.dumps(values, indent=1))

    def text(self, text: str | bytes) -> Path:
        """Write the spec's file as it is."""
        path = self.folder / "spec.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    @property
    def traces(self) -> list[str]:
        """What a started job would have left behind."""
        return [str(p) for p in (*self.home.glob("jobs/*"), *self.home.glob("mlflow.db"))]


@pytest.fixture
def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Bench]:
    folder, home = tmp_path / "spec", tmp_path / "home"
    for name in ("HELIO_CLUSTER", "HELIO_JOB_ID", "MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HELIO_HOME", str(home))
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    folder.mkdir()
    (folder / "own.py").write_text(OWN)
    yield Bench(folder, home, capfd)
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def draw(path: Path, size: tuple[int, int] = (8, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, 100).save(path)


def complaints(done: Done) -> list[str]:
    """Return what was said on stderr, without the display's lines: `[0:01] loading data`."""
    return [line for line in done.err.splitlines() if not re.match(r"\[\d+:\d\d\]", line)]


def refused(done: Done, bench: Bench, *lines: str) -> None:
    """Assert that the command said just these lines (patterns), with file and line before each."""
    assert (done.status, done.out, bench.traces) == (2, "", []), done
    assert len(complaints(done)) == len(lines), done.err
    for line, pattern in zip(complaints(done), lines, strict=True):
        assert re.fullmatch(rf"{re.escape(str(bench.folder))}/spec\.yaml:\d+: {pattern}", line)


# ---- the text -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", ": the file is empty; a job spec"),
        (b"# nothing\n", ": the file is empty; a job spec"),
        (b"- train\n", r":1: the top level is not a mapping; .*kind: train.*"),
        (b"kind: train\n  name: x\n", ":2: broken YAML: a `:` where none can be; .*"),
        (b"kind: [train\n", r":\d: broken YAML: expected ',' or '\]'.*"),
        (b"kind: train\ndata:\n\ttrain: x\n", ":3: a tab indents this line; spaces only"),
        (b"kind: train\nkind: tune\n", r":2: kind: duplicate key \(lines 1 and 2\); keep one"),
        (b"kind: trian\n", ":1: kind: unknown kind 'trian'; did you mean train.*"),
        (b"\x89PNG\r\n\x1a\n", r":1: not UTF-8 text \(byte 0x89\); UTF-8"),
        (b"kind: train\n" * 400_000, ": too large for a job spec; at most 4 MiB"),
    ],
)
def test_a_file_that_is_no_spec_is_one_line(bench: Bench, text: bytes, said: str) -> None:
    path = bench.text(text)
    for command in (("check", path), ("run", path, "--local")):
        done = bench(*command)
        lines = complaints(done)
        assert (done.status, len(lines), bench.traces) == (2, 1, []), done.err[:500]
        assert re.fullmatch(re.escape(str(path)) + said, lines[0])


def test_a_spec_that_is_not_there_or_a_folder_is_one_line(bench: Bench) -> None:
    bench.spec(TRAIN, {})
    assert bench("check", bench.folder / "spek.yaml").err == (
        f"{bench.folder}/spek.yaml: no such file; did you mean {bench.folder}/spec.yaml?\n"
    )
    assert bench("check", bench.folder).err == (
        f"{bench.folder}: is a directory; name a spec file in it\n"
    )


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("nonsense", "is not an assignment; dotted.key=value"),
        ("=3", "is not an assignment; dotted.key=value"),
        ("data..train=x", "is not an assignment; dotted.key=value"),
        ("optimizer.lr=[1", "optimizer.lr: broken YAML: .*"),
        ("batch_size.x=1", "batch_size.x: batch_size is 50 and has no keys"),
        ("optmizer.lr=1", "optmizer: unknown key; did you mean optimizer[?]"),
        ("optimizer.lr=-1", "optimizer.lr: -1 is out of range; more than 0"),
    ],
)
def test_a_wrong_set_is_named_by_itself(bench: Bench, override: str, said: str) -> None:
    done = bench("check", bench.spec(TRAIN, {}), "--set", override)
    assert done.status == 2
    assert re.fullmatch(re.escape(f"--set {override}: ") + said + "\n", done.err)


# ---- what the text names --------------------------------------------------------------------

TRAINING: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "key": ({"batchsize": 1}, ("batchsize: unknown key; did you mean batch_size[?]",)),
    "type": ({"batch_size": "many"}, ("batch_size: must be a whole number, not 'many'; .*",)),
    "range": ({"batch_size": 0}, ("batch_size: 0 is out of range; 1 or more",)),
    "divisible": (
        {"resources": {"workers": 3}},
        ("batch_size: 50 is not divisible by 3 workers; 48 or 51",),
    ),
    "optimizer": (
        {"optimizer.name": "sdg"},
        ("optimizer.name: unknown optimizer 'sdg'; did you mean sgd.*",),
    ),
    "schedule": (
        {"schedule.name": "cosin"},
        ("schedule.name: unknown schedule 'cosin'; did you mean cosine.*",),
    ),
    "augmentation": (
        {"data.augment": ["flip"]},
        (r"data.augment\[0\]: unknown augmentation 'flip'; .*horizontal_flip.*",),
    ),
    "crop": (
        {"data.augment": [{"random_crop": {"size": 30}}]},
        (r"data.augment\[0\]: the crop of 30x30 is larger than .*; at most 8x8.*",),
    ),
    "task": ({"task": "clasification"}, ("task: no task 'clasification'; .*",)),
    "model": ({"model.name": "resnt9"}, ("model.name: no model 'resnt9'; nearest: resnet9.*",)),
    "argument": (
        {"model.args": {"wide": 1}},
        ("model.args: model cnn_small takes no argument 'wide'; it takes num_classes.*",),
    ),
    "outputs": (
        {"model.args": {"num_classes": 3}},
        (r"model.args: the model gives shape \(2, 3\) .*; .* 10 classes needs \(2, 10\)",),
    ),
    "metric": (
        {"objective": {"metric": "val/acuracy", "goal": "maximize"}},
        ("objective.metric: no evaluation .* val/acuracy; did you mean val/accuracy.*",),
    ),
    "test metric": (
        {"objective": {"metric": "test/accuracy", "goal": "maximize"}},
        ("objective.metric: .*: selection looks at val only; val/accuracy",),
    ),
    "path": (
        {"data.train.uri": "nowhere", "data.val": None},
        ("data.train.uri: .*/spec/nowhere does not exist",),
    ),
    "scheme": ({"data.val.uri": "gs://b/x"}, ("data.val.uri: .* not a source that is read; .*",)),
    "bucket without credentials": (
        {"data.val.uri": "s3://b/x"},
        (r"data.val.uri: s3://b/x: credentials are missing or refused: .*",),
    ),
    "empty split": (
        {"data.val.split": "all[5000:]"},
        ("data.val.split: the slice is empty: the split 'all' has 1797 samples",),
    ),
    "reversed split": (
        {"data.val.split": "all[9:3]"},
        (r"data.val.split: 'all\[9:3\]' holds no sample; the start before the stop",),
    ),
    "broken split": (
        {"data.val.split": "all[9:12] all[13:]"},
        ("data.val.split: .* is not a split; such as .*",),
    ),
    "absent split": (
        {"data.val.split": "test"},
        ("data.val.split: no split 'test' here: .*; slices of it.*",),
    ),
    "class of val": (
        {"data": {"train": "two", "val": "three"}},
        ("data.val: class c unknown in training; a, b",),
    ),
    "sizes": (
        {"data": {"train": "mixed"}},
        (r"data.train.uri: images differ in size \(8x8, 8x9\); set data.image_size.*",),
    ),
    "empty image": (
        {"data": {"train": "broken", "image_size": 8, "channels": 1}},
        ("data.train: .*/broken/b/2.png cannot be read as an image: .*",),
    ),
    "too small": (
        {"data": {"train": "tiny"}, "model.name": "resnet9"},
        ("model.name: resnet9 cannot take inputs of 1×2×2: .*; another model, or .*",),
    ),
    "boxes for classes": (
        {"data": {"train": "boxes/boxes.csv"}},
        ("data.train: the data has boxes or masks, and no class for each image",),
    ),
    "classes for boxes": (
        {"task": "detection", "model.name": "fcos_small", "objective": None},
        ("data.train: the data has a class for each image; detection needs boxes.*",),
    ),
    "model of another task": (
        {"task": "segmentation", "objective": None},
        ("model.name: cnn_small is a model for classification, not for segmentation",),
    ),
    "metric of another task": (
        {
            "task": {"name": "generation"},
            "model.name": "dcgan",
            "objective": {"metric": "val/accuracy", "goal": "maximize"},
        },
        (
            "model.args: model dcgan: .* no images of 8×8: .* multiples of 4, at least 16 .*",
            "objective.metric: no evaluation of this task produces val/accuracy; there is none",
        ),
    ),
    "argument of the task": (
        {"task": {"name": "classification", "args": {"label_smooth": 0.1}}},
        ("task.args: task classification takes no argument 'label_smooth'; it takes .*",),
    ),
    "frozen": (
        {"model.freeze": ["layer*"]},
        (r"model.freeze\[0\]: no part of the model is named 'layer\*'; .*",),
    ),
    "no weights": (
        {"model.weights": "w.safetensors"},
        ("model.weights: there is no file .*/w.safetensors; a .safetensors file or models:.*",),
    ),
    "pickled weights": (
        {"model.weights": "pickled.safetensors"},
        ("model.weights: cannot read .*/pickled.safetensors: .*; .*",),
    ),
    "other weights": (
        {"model.weights": "other.safetensors"},
        ("model.weights: the weights are of another model: it has .*, they have weight",),
    ),
    "registered weights": (
        {"model.weights": "models:/digits@champion"},
        ("model.weights: there is no registered model models:/digits@champion; there is none",),
    ),
    "secret": (
        {"env": {"HF_TOKEN": {"secret": "hf"}}},
        ("env.HF_TOKEN: there is no secret 'hf'; the file .*/secrets/hf, or the variable .*_HF",),
    ),
    "no module": (
        {"model.name": "nothing:Net"},
        ("model.name: .*no module named 'nothing' beside the spec.*",),
    ),
    "no class": (
        {"model.name": "own:Outer.Nit"},
        (r"model.name: module own \(.*own.py\) has no 'Outer.Nit'; nearest: Net",),
    ),
    "no callable": ({"model.name": "own:depth"}, ("model.name: .* not a class or function",)),
    "no model": ({"model.name": "own:number"}, ("model.args: .* not a torch.nn.Module",)),
    "pair": ({"model.name": "own:Pair"}, ("model.args: .*tensor of logits, not tuple",)),
    "fixed": ({"model.name": "own:Fixed"}, ("model.name: own:Fixed has no parameter to train",)),
    "dataset args": (
        {"data": {"train": {"dataset": "own:Items", "args": {"hw": 1}}}},
        ("data.train.args: own:Items: .*'hw'; how, at, size",),
    ),
    "empty dataset": (
        {"data": {"train": {"dataset": "own:Items", "args": {"size": 0}}}},
        ("data.train.dataset: own:Items is empty: its length is 0",),
    ),
    "items alone": (
        {"data": {"train": {"dataset": "own:Items", "args": {"how": "alone"}}}},
        (r"data.train: own:Items#0 gave torch.float32 of .*; a pair \(input, target\)",),
    ),
    "items of two shapes": (
        {"data": {"train": {"dataset": "own:Items", "args": {"how": "narrow"}}}},
        (r"data.train: .*own:Items#0 has .*\(1, 7, 8\), own:Items#1 has .*; tensors of one .*",),
    ),
    "a negative label": (
        {"data": {"train": {"dataset": "own:Items", "args": {"how": "negative", "at": 19}}}},
        ("data.train: own:Items#19 has the label -1, and there are 3 classes; 0 to 2",),
    ),
    "half a label": (
        {"data": {"train": {"dataset": "own:Items", "args": {"how": "half"}}}},
        ("data.train: a batch's targets are torch.float64 .*; .* a whole number .*",),
    ),
    "words for labels": (
        {"data": {"train": {"dataset": "own:Items", "args": {"how": "words"}}}},
        ("data.train: a batch's targets are a list; classification needs whole numbers",),
    ),
    "several in the text": (
        {"batch_size": 0, "optimizer.name": "sdg", "data.val.split": "al[:3]"},
        ("data.val.split: unknown split .*", "batch_size: 0 .*", "optimizer.name: unknown .*"),
    ),
    "several that are named": (
        {
            "task": "clasification",
            "model": {"name": "cnn_small", "args": {"wide": 1}, "weights": "w.safetensors"},
            "data": {"train": "nowhere", "val": "neither"},
        },
        (
            "model.args: .*takes no argument 'wide'.*",
            "model.weights: there is no file .*",
            "data.train.uri: .*/nowhere does not exist",
            "data.val.uri: .*/neither does not exist",
            "task: no task .*",
        ),
    ),
    "several that do not fit": (
        {
            "objective": {"metric": "val/acuracy", "goal": "maximize"},
            "data.augment": [{"random_crop": {"size": 30}}],
            "model.args": {"num_classes": -1},
        },
        ("model.args: model cnn_small: .*", r"data.augment\[0\]: .*", "objective.metric: .*"),
    ),
}


BOXES = "filename,width,height,class,xmin,ymin,xmax,ymax\n1.png,8,8,cat,1,1,4,4\n"


@pytest.mark.parametrize("case", TRAINING)
def test_a_mistake_is_one_line_with_its_place_and_starts_nothing(bench: Bench, case: str) -> None:
    changes, lines = TRAINING[case]
    for folder, classes in (("two", "ab"), ("three", "abc"), ("mixed", "ab"), ("broken", "ab")):
        for name in classes:
            draw(bench.folder / folder / name / "1.png")
    draw(bench.folder / "mixed" / "b" / "2.png", size=(9, 8))
    (bench.folder / "broken" / "b" / "2.png").touch()
    draw(bench.folder / "boxes" / "1.png")
    (bench.folder / "boxes" / "boxes.csv").write_text(BOXES)
    draw(bench.folder / "tiny" / "a" / "1.png", size=(2, 2))
    torch.save({"weight": torch.zeros(2)}, bench.folder / "pickled.safetensors")
    save_file({"weight": torch.zeros(2)}, bench.folder / "other.safetensors")
    path = bench.spec(TRAIN, changes)
    refused(bench("check", path), bench, *lines)
    refused(bench("run", path, "--local", "--json"), bench, *lines)


BATCH: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "form": (
        {"model": "models:/digits"},
        ("model: .* is not a registered model; models:/name/.*",),
    ),
    "name": ({}, ("model: there is no registered model models:/digits@champion; there is none",)),
    "data": (
        {"input": "nowhere"},
        ("model: there is no .*", "input.uri: .*/spec/nowhere does not exist"),
    ),
    "output is there": (
        {"output": "own.py"},
        ("model: there is no .*", "output: .*own.py exists already; another path"),
    ),
    "output below a file": (
        {"output": "own.py/x/out.parquet"},
        ("model: there is no .*", "output: .* cannot be written .*; another path"),
    ),
    "output cannot be": (
        {"output": "/proc/nobody/out.parquet"},
        ("model: there is no .*", "output: .* cannot be written .*; another path"),
    ),
    "output elsewhere": (
        {"output": "s3://bucket/out.parquet"},
        ("model: there is no .*", "output: s3://bucket/out.parquet cannot be written to; a path"),
    ),
}


@pytest.mark.parametrize("case", BATCH)
def test_a_prediction_that_cannot_be_starts_nothing(bench: Bench, case: str) -> None:
    changes, lines = BATCH[case]
    path = bench.spec(PREDICT, changes)
    refused(bench("check", path), bench, *lines)
    refused(bench("run", path, "--local", "--json"), bench, *lines)
    assert not (bench.folder / "out.parquet").exists()


# ---- the surroundings -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("http://127.0.0.1:9", "no MLflow server answers at http://127.0.0.1:9 .*; start it or .*"),
        ("http://[::1", r"no MLflow server answers at http://\[::1 \(Invalid IPv6 URL\); .*"),
        ("http://no host/", "no MLflow server answers at http://no host/ .*; .*"),
        ("postgresql://u:pw@127.0.0.1:9/x", "no .* at postgresql://127.0.0.1:9/x .*; .*"),
        ("postgresql://127.0.0.1:port/x", "no .* at postgresql://127.0.0.1:port/x .*; .*"),
        ("mlruns", r"MLflow no longer keeps runs in a plain folder \(mlruns\); .*sqlite:.*"),
        ("htp://mlflow:5000", "htp://mlflow:5000 is not MLflow's address; .*sqlite:.*"),
        ("sqlite://", "sqlite:// names no file, so nothing would be kept; .*sqlite:.*"),
    ],
)
def test_an_mlflow_that_is_not_there_is_told_before_anything_starts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, uri: str, said: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    path = bench.spec(TRAIN, {})
    refused(bench("check", path), bench, said)
    refused(bench("run", path, "--local", "--json"), bench, said)


@pytest.mark.parametrize("below", ["", "/home"])
def test_a_helio_home_that_cannot_be_written_is_one_line(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    bench.home.touch()
    monkeypatch.setenv("HELIO_HOME", f"{bench.home}{below}")
    said = r"HELIO_HOME \(.*\) cannot be written: .*; set HELIO_HOME to a folder that can be"
    lines = complaints(bench("run", bench.spec(TRAIN, {}), "--local", "--json"))
    assert len(lines) == 1
    assert re.fullmatch(rf"{bench.folder}/spec.yaml:1: {said}", lines[0])
    for command in (("runs",), ("models",), ("sync",), ("resume", "digits")):
        done = bench(*command)
        assert done.status == 2
        assert re.fullmatch(said, "\n".join(complaints(done)))


def test_a_file_where_the_jobs_should_be_is_one_line(bench: Bench) -> None:
    bench.home.mkdir()
    (bench.home / "jobs").touch()
    refused(
        bench("run", bench.spec(TRAIN, {}), "--local", "--json"),
        bench,
        ".*/jobs/digits-.* cannot be written: Not a directory; HELIO_HOME with room for a job",
    )


@pytest.mark.parametrize("name", ["random", "torch"])
def test_a_module_that_would_hide_one_of_pythons_or_torch_is_refused(
    bench: Bench, name: str
) -> None:
    (bench.folder / f"{name}.py").touch()
    path = bench.spec(TRAIN, {})
    said = f".*/{name}.py hides .* module {name}; another name for it"
    refused(bench("check", path), bench, said)
    refused(bench("run", path, "--local", "--json"), bench, said)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_a_warning_to_check_and_wrong_for_run(bench: Bench) -> None:
    path = bench.spec(TRAIN, {"resources": {"gpus_per_worker": 1}})
    checked = bench("check", path)
    assert checked.status == 0
    assert re.search("warning: .*resources.gpus_per_worker: 1 GPUs are asked for", checked.err)
    said = "resources.gpus_per_worker: a GPU is asked for, and torch finds none here; 0"
    refused(bench("run", path, "--local", "--json"), bench, said)


def test_more_workers_than_this_machine_has_start_nothing(bench: Bench) -> None:
    path = bench.spec(TRAIN, {"batch_size": 4000, "resources": {"workers": 4000}})
    said = "resources.workers: 4000 × 1 CPU are asked for and .* there; fewer workers, .*"
    refused(bench("run", path, "--json"), bench, said)


@pytest.mark.parametrize("command", ["resume", "sync"])
@pytest.mark.parametrize("job", ["digits-20260101-000000-abcd", "../../etc"])
def test_a_job_that_is_not_there_is_one_line(bench: Bench, command: str, job: str) -> None:
    done = bench(command, job)
    assert (done.status, done.out) == (2, "")
    assert re.fullmatch(rf"no job {job} in .*/jobs; there is none yet", complaints(done)[0])


def test_what_an_unused_home_holds_is_told_without_making_a_database(bench: Bench) -> None:
    assert bench("runs").out == "no runs\n"
    assert bench("models").out == "no models\n"
    assert bench("promote", "digits", "1").err == (
        "no registered model is named 'digits'; there is none\n"
    )
    assert bench.traces == []


@pytest.mark.parametrize("command", ["submit", "run"])
def test_a_cluster_that_does_not_answer_is_one_line(bench: Bench, command: str) -> None:
    done = bench(command, bench.spec(TRAIN, {}), "--cluster", "http://127.0.0.1:9")
    lines = complaints(done)
    assert (done.status, len(lines), bench.traces) == (2, 1, [])
    assert "no Ray cluster answers at http://127.0.0.1:9" in lines[0]


# ---- in the middle of training --------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "verdict", "message"),
    [
        (
            {"data": {"train": "two", "val": "broken", "image_size": 8, "channels": 1}},
            "data",
            ".*/broken/b/2.png cannot be read as an image: .*",
        ),
        (
            {"data": {"train": {"dataset": "own:Items", "args": {"how": "narrow", "at": 19}}}},
            "data",
            r"the inputs make no batch: .*own:Items#19 has .*\(1, 7, 8\).*",
        ),
        (
            {"data": {"train": {"dataset": "own:Items", "args": {"how": "untold", "at": 19}}}},
            "data",
            "a target is 7; 3 classes have 0 to 2",
        ),
        (
            {"data": {"train": {"dataset": "own:Items", "args": {"how": "nan", "at": 19}}}},
            "diverged",
            r"the loss became nan at step \d+ \(learning rate 0.1\)",
        ),
        (
            {"model.name": "own:Moody"},
            "user_code",
            r"the model gives shape \(4, 9\) for 4 samples; .* needs \(4, 10\)",
        ),
    ],
    ids=["image", "shape", "label", "nan", "outputs"],
)
def test_what_shows_only_in_training_fails_the_job_in_one_line(
    bench: Bench, changes: dict[str, Any], verdict: str, message: str
) -> None:
    for folder in ("two", "broken"):
        for name in "ab":
            draw(bench.folder / folder / name / "1.png")
    (bench.folder / "broken" / "b" / "2.png").touch()
    fault = failure(bench, {**changes, "batch_size": 4, "max_steps": 10})
    assert fault.failure.verdict == verdict
    assert re.fullmatch(message, fault.failure.message)


@pytest.mark.parametrize(
    ("source", "last"),
    [
        ("import sys\nsys.exit(3)", "SystemExit: 3"),
        ("def net(:", "SyntaxError: invalid syntax"),
        ("import nothing_like_it", "ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("open('/no/such/file')", "FileNotFoundError: .*'/no/such/file'"),
    ],
)
def test_what_a_module_of_ones_own_raises_is_told_in_its_own_words(
    bench: Bench, source: str, last: str
) -> None:
    (bench.folder / "trouble.py").write_text(source)
    fault = failure(bench, {"model.name": "trouble:Net"})
    first, *_, end = fault.failure.message.splitlines()
    assert fault.failure.verdict == "user_code"
    assert re.fullmatch(last, end)
    assert "trouble.py" in first or first.startswith("Traceback")
    assert "heliostat" not in fault.failure.message
    checked = bench("check", bench.folder / "spec.yaml")
    assert checked.status == 2
    assert checked.err.splitlines()[-1] == end


def failure(bench: Bench, changes: Mapping[str, Any]) -> Fault:
    """Train in this process, as `helio run --local` does but without MLflow; return the fault."""
    document = specs.load(bench.spec(TRAIN, changes))
    assert isinstance(document.spec, TrainSpec)
    job = Job.create(document, local=True)
    error = run_here(job, document.spec, 1, watch=lambda: None, show=lambda event: None)
    assert error is not None
    return explain(job, 1, error)


def test_a_broken_image_of_val_ends_the_command_with_one_line_and_status_1(bench: Bench) -> None:
    for name in "ab":
        draw(bench.folder / "two" / name / "1.png")
    (bench.folder / "broken" / "b").mkdir(parents=True)
    (bench.folder / "broken" / "b" / "2.png").touch()
    data = {"train": "two", "val": "broken", "image_size": 8, "channels": 1}
    done = bench("run", bench.spec(TRAIN, {"data": data, "batch_size": 2}), "--local", "--json")
    lines = complaints(done)
    assert done.status == 1
    assert len(lines) == 1
    assert lines[0].startswith(f"data: {bench.folder}/broken/b/2.png cannot be read as an image")
    assert done.document["error"]["verdict"] == "data"


@pytest.mark.slow
def test_an_unknown_model_under_ray_is_the_same_line(bench: Bench, helio: Helio) -> None:
    path = bench.spec(TRAIN, {"model.name": "resnt9"})
    done = helio("run", path, "--json", env={"HELIO_HOME": str(bench.home)})
    lines = complaints(done)
    assert (done.status, done.out, bench.traces) == (2, "", [])
    assert len(lines) == 1
    assert lines[0].startswith(f"{path}:5: model.name: no model 'resnt9'; nearest: resnet9")


@pytest.mark.slow
def test_a_ray_that_cannot_be_started_is_one_line_and_leaves_no_job(
    bench: Bench, helio: Helio
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        surroundings = {"HELIO_HOME": str(bench.home), "RAY_GCS_SERVER_PORT": port}
        done = helio("run", bench.spec(TRAIN, {}), "--json", env=surroundings)
    assert (done.status, done.out, bench.traces) == (2, "", [])
    assert "Ray cannot be started here" in complaints(done)[-1]
    assert "Traceback" not in done.err

"""A sound spec: its defaults, its paths, `--set`, and the way back to plain values."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from heliostat.spec import (
    Duration,
    EntrypointSpec,
    EvaluateSpec,
    Every,
    HorizontalFlip,
    InputError,
    PredictSpec,
    RandomCrop,
    Secret,
    Sgd,
    Stall,
    TrainSpec,
    Transform,
    dump,
    load,
    parse,
)
from heliostat.spec.sources import DecodedCache

Write = Callable[..., Path]
Mistakes = Callable[..., list[str]]


def train(path: Path, *overrides: str) -> TrainSpec:
    """Return the train spec at `path`."""
    spec = load(path, overrides).spec
    assert isinstance(spec, TrainSpec)
    return spec


def test_a_short_spec_has_the_defaults(write: Write) -> None:
    spec = train(write())
    assert (spec.experiment, spec.seed, spec.task.name, spec.precision) == (
        "demo",
        0,
        "classification",
        "fp32",
    )
    assert spec.optimizer == Sgd(name="sgd", lr=0.1, momentum=0.9)
    assert spec.schedule.name == "constant"
    assert spec.checkpoint.every == Every(1, "epoch")
    assert (spec.checkpoint.keep_best, spec.checkpoint.keep_latest) == (1, 1)
    assert spec.objective is not None
    assert (spec.objective.metric, spec.objective.goal) == ("val/accuracy", "maximize")
    assert spec.register is None
    assert not spec.resources.elastic


def test_without_val_there_is_no_objective_and_no_best(write: Write) -> None:
    spec = train(write(), "data.val=")
    assert spec.objective is None
    assert spec.checkpoint.keep_best == 0
    assert parse(dump(spec)) == spec


def test_a_task_of_the_users_own_has_no_objective_unless_given(write: Write) -> None:
    assert train(write(), "task=mine:Task").objective is None


def test_every_form_is_read_and_comes_back_the_same(write: Write) -> None:
    spec = train(
        write(),
        "data.augment=[horizontal_flip, {random_crop: {padding: 2}}, {random_crop: {size: 24}},"
        " RandomGrayscale, {ColorJitter: {hue: 0.1}}]",
        "data.image_size=32",
        "data.cache=decoded",
        "data.augment_on_device=[{MixUp: {num_classes: 10}}]",
        "data.val={uri: images, format: coco}",
        "data.test={dataset: mine:Things, args: {n: [1, {a: null}]}, split: 'all[-10%:]'}",
        "resources.workers=[1, 3]",
        "batch_size=7",
        "checkpoint.every=50 steps",
        "stall={after: 90 seconds, start_up: null}",
        "schedule={name: step, every: 2, gamma: 0.5}",
        "optimizer={name: adamw, lr: 1e-3, betas: [0.8, 0.9]}",
        "register={name: demo, alias: champion, when: better}",
        "env={TOKENIZERS_PARALLELISM: 'false', HF_TOKEN: {secret: hf}}",
    )
    assert spec.data.augment == (
        HorizontalFlip(),
        RandomCrop(padding=2),
        RandomCrop(size=(24, 24)),
        Transform(name="RandomGrayscale"),
        Transform(name="ColorJitter", args={"hue": 0.1}),
    )
    assert spec.data.cache == DecodedCache()
    assert spec.data.image_size == (32, 32)
    assert spec.resources.elastic
    assert (spec.resources.min_workers, spec.resources.max_workers) == (1, 3)
    assert spec.checkpoint.every == Every(50, "step")
    assert spec.stall == Stall(after=Duration(90, "second"), start_up=None)
    assert spec.env == {"TOKENIZERS_PARALLELISM": "false", "HF_TOKEN": Secret(secret="hf")}
    plain = json.loads(json.dumps(dump(spec)))
    assert plain["data"]["augment"][0] == "horizontal_flip"
    assert plain["checkpoint"]["every"] == "50 steps"
    assert parse(plain) == spec


def test_an_entrypoint_stands_in_place_of_task_model_and_optimizer(write: Write) -> None:
    text = "kind: train\nname: own\nentrypoint: own.loop:train\nargs: {depth: 3}\nmax_steps: 5\n"
    spec = load(write(text)).spec
    assert isinstance(spec, EntrypointSpec)
    assert spec.args == {"depth": 3}
    assert spec.data is None
    assert parse(dump(spec)) == spec


def test_a_spec_is_frozen(write: Write) -> None:
    spec = train(write())
    with pytest.raises(ValueError, match="frozen"):
        spec.epochs = 5


# ---------------------------------------------------------------------------------------- paths


def test_paths_in_the_file_are_relative_to_it_and_those_of_set_to_the_working_directory(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("HOME", "/home/somebody")
    spec = train(
        path,
        "data.val.uri=../val",
        "data.test=~/test",
        "model.weights=net.safetensors",
        "data.train.split=test",
    )
    assert spec.data.train.uri == str(tmp_path / "images")
    assert spec.data.train.split == "test"
    assert spec.data.val is not None
    assert spec.data.val.uri == str(tmp_path / "val")
    assert spec.data.test is not None
    assert spec.data.test.uri == "/home/somebody/test"
    assert spec.model.weights == str(elsewhere / "net.safetensors")


@pytest.mark.parametrize(
    "uri", ["s3://bucket/images", "sklearn:digits", "torchvision:CIFAR10", "/data/images"]
)
def test_a_uri_with_a_scheme_stays_as_it_is(write: Write, uri: str) -> None:
    spec = train(write(), f"data.train.uri={uri}", "model.weights=models:/digits@champion")
    assert spec.data.train.uri == uri
    assert spec.model.weights == "models:/digits@champion"


def test_predict_and_evaluate_resolve_their_paths(write: Write, tmp_path: Path) -> None:
    head = "name: x\nmodel: models:/digits/3\n"
    predict = load(write(f"kind: predict\n{head}input: images\noutput: out.parquet\n")).spec
    assert isinstance(predict, PredictSpec)
    assert (predict.input.uri, predict.output) == (
        str(tmp_path / "images"),
        str(tmp_path / "out.parquet"),
    )
    evaluate = load(write(f"kind: evaluate\n{head}data: {{uri: images, split: test}}\n")).spec
    assert isinstance(evaluate, EvaluateSpec)
    assert evaluate.data.uri == str(tmp_path / "images")


# ---------------------------------------------------------------------------------------- --set


def test_set_makes_the_mappings_it_needs_and_reaches_into_lists(write: Write) -> None:
    spec = train(
        write(),
        "data.augment=[{random_crop: {padding: 2}}, horizontal_flip]",
        "data.augment.0.random_crop.padding=4",
        "data.augment[1]={random_crop: {padding: 1}}",
        "checkpoint.keep_latest=2",
        "model.args.width=8",
        "max_steps=",
    )
    assert spec.data.augment == (RandomCrop(padding=4), RandomCrop(padding=1))
    assert spec.checkpoint.keep_latest == 2
    assert spec.model.args == {"width": 8}


def test_a_mistake_of_set_names_the_set_and_stands_after_those_of_the_file(
    mistakes: Mistakes,
) -> None:
    sets = ("optimizer.lr=-1", "optimzer.lr=1", "seed=x")
    assert mistakes(sets=sets, swap={"epochs: 3": "epochs: 0"}) == [
        "train.yaml:10: epochs: 0 is out of range; 1 or more",
        "--set optimizer.lr=-1: optimizer.lr: -1 is out of range; more than 0",
        "--set optimzer.lr=1: optimzer: unknown key; did you mean optimizer?",
        "--set seed=x: seed: must be a whole number, not 'x'",
    ]


def test_what_is_no_override_is_said_for_each(mistakes: Mistakes) -> None:
    assert mistakes(sets=("epochs", "=1", "a..b=1", "name=[")) == [
        "--set epochs: is not an assignment; dotted.key=value",
        "--set =1: is not an assignment; dotted.key=value",
        "--set a..b=1: is not an assignment; dotted.key=value",
        "--set name=[: name: broken YAML: expected the node content, but found '<stream end>', "
        "while parsing a flow node begun on line 1",
    ]
    assert mistakes(sets=("epochs.x=1", "data.augment=[random_crop]", "data.augment.1=x")) == [
        "--set epochs.x=1: epochs.x: epochs is 3 and has no keys",
        "--set data.augment.1=x: data.augment[1]: no item 1 in the list data.augment; 0 to 0",
    ]


# --------------------------------------------------------------------------------------- places


def test_an_error_of_another_room_is_located_by_its_nearest_key(write: Write) -> None:
    path = write()
    document = load(path, ["model.args.width=3"])
    error = InputError(
        [
            *InputError.of("no such path", key=("data", "val", "uri")).problems,
            *InputError.of("takes no width", key=("model", "args", "width")).problems,
            *InputError.of("unknown task", key=("task",)).problems,
        ]
    )
    assert str(document.locate(error)).splitlines() == [
        f"{path}:1: task: unknown task",
        f"{path}:6: data.val.uri: no such path",
        "--set model.args.width=3: model.args.width: takes no width",
    ]
    assert document.path == path.absolute()
    assert document.text == path.read_text()
    assert document.folder == path.parent
    assert document.overrides == ("model.args.width=3",)


def test_reading_a_spec_imports_nothing_heavy() -> None:
    code = (
        "import sys, heliostat.spec as s; s.load('jobs/digits/train.yaml');"
        "print([m for m in ('torch', 'ray', 'mlflow', 'numpy', 'pandas') if m in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={"PYTHONPATH": str(root / "platform")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"

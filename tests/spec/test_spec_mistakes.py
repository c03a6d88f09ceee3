"""Every mistake in a spec is one line with its place and what would be valid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from heliostat.spec import InputError, parse

Mistakes = Callable[..., list[str]]


def test_all_mistakes_of_a_file_are_reported_at_once_in_their_order(mistakes: Mistakes) -> None:
    swap = {
        "epochs: 3": "epochs: -1\nlog_evry: 5\nobjective: {metric: test/accuracy, goal: maximize}",
        "batch_size: 64": "batch_size: 63",
        "name: sgd": "name: sdg",
        "  val: {uri: images, split: val}": "  val: {uri: images, split: vla}\n  shuffle: true",
    }
    assert mistakes(swap=swap) == [
        "train.yaml:6: data.val.split: unknown split 'vla'; did you mean val? "
        "one of all, test, train, val",
        "train.yaml:7: data.shuffle: unknown key; one of augment, augment_on_device, cache, "
        "channels, decoder, image_size, loader_processes, on_error, test, train, val",
        "train.yaml:8: batch_size: 63 is not divisible by 2 workers; 62 or 64",
        "train.yaml:9: optimizer.name: unknown optimizer 'sdg'; did you mean sgd? "
        "one of adam, adamw, lion, muon, sgd",
        "train.yaml:11: epochs: -1 is out of range; 1 or more",
        "train.yaml:12: log_evry: unknown key; did you mean log_every?",
        "train.yaml:13: objective.metric: 'test/accuracy': selection looks at val only; "
        "val/accuracy",
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        # unknown keys and names
        ("optimzer=1", "optimzer: unknown key; did you mean optimizer?"),
        ("optimizer.momentun=0", "optimizer.momentun: unknown key; did you mean momentum?"),
        ("optimizer.betas=[0.9, 0.9]", "optimizer.betas: unknown key; one of lr, momentum, name"),
        ("schedule={name: cosin}", "schedule.name: unknown schedule 'cosin'; did you mean cosine"),
        ("data.augment=[horizontal_flp]", "unknown augmentation 'horizontal_flp'; did you mean"),
        ("precision=fp23", "precision: unknown precision 'fp23'; did you mean fp32? one of bf16"),
        ("kind=trian", "kind: unknown kind 'trian'; did you mean train? one of evaluate, predict"),
        ("optimizer={lr: 1}", "optimizer.name: missing; one of adam, adamw, lion, muon, sgd"),
        (
            "optimizer.name=3",
            "optimizer.name: unknown optimizer '3'; one of adam, adamw, lion, muon, sgd",
        ),
        (
            "stall.after=30",
            "stall.after: 30 is not a duration; such as 30 minutes, or 90 seconds",
        ),
        # types
        ("batch_size='64'", "batch_size: must be a whole number, not '64'; without quotes"),
        ("batch_size=64.0", "batch_size: must be a whole number, not 64.0; write 64"),
        ("batch_size=true", "batch_size: must be a whole number, not true"),
        ("optimizer.lr=fast", "optimizer.lr: must be a number, not 'fast'"),
        ("name=2024", 'name: must be text, not 2024; quote it: "2024"'),
        ("optimizer.nesterov=no", "optimizer.nesterov: must be true or false, not 'no'"),
        ("schedule=cosine", "must be a mapping, not 'cosine'; such as schedule: {name: cosine}"),
        ("data.augment=horizontal_flip", "data.augment: must be a list, not 'horizontal_flip'"),
        ("data.augment=[ColorJitter, horizontal_flip]", "data.augment[1]: stands after torchvis"),
        ("data.augment=[{RandomRotation: 3}]", "data.augment[0].RandomRotation: its arguments are"),
        ("data.augment_on_device=[mixup]", "data.augment_on_device[0]: 'mixup' is no name of torc"),
        ("data.cache=everything", "data.cache: "),
        ("data.cache={short_side: 2}", "data.cache.short_side: 2 is out of range; 8 or more"),
        ("data.loader_processes=-1", "data.loader_processes: -1 is out of range; 0 or more"),
        ("data.augment=[3]", "data.augment[0]: is not an augmentation; a name, such as"),
        ("model=", "model: must be a mapping, not null; such as model: {name: resnet18}"),
        ("data=images", "must be a mapping, not 'images'; such as data: {train: path/to/images}"),
        # ranges
        ("optimizer.lr=0", "optimizer.lr: 0 is out of range; more than 0"),
        ("optimizer.lr=.inf", "optimizer.lr: must be a finite number, not inf"),
        ("optimizer.momentum=1", "optimizer.momentum: 1 is out of range; less than 1"),
        ("optimizer={name: muon, lr: 1, momentum: 1}", "optimizer.momentum: 1 is out of range; le"),
        ("optimizer={name: muon, lr: 1, betas: [0, 1]}", "optimizer.betas[1]: 1 is out of range"),
        ("optimizer={name: muon, lr: 1, adamw: fc}", "optimizer.adamw: must be a list, not 'fc'"),
        ("optimizer={name: lion, lr: 0}", "optimizer.lr: 0 is out of range; more than 0"),
        ("optimizer={name: lion, lr: 1, betas: [1, 0]}", "optimizer.betas[0]: 1 is out of range"),
        ("optimizer={name: lion, lr: 1, weight_decay: -1}", "optimizer.weight_decay: -1 is out of"),
        ("optimizer={name: lion, lr: 1, eps: 1}", "optimizer.eps: unknown key; one of betas, lr"),
        ("schedule={name: one_cycle, warmup: 1.5}", "schedule.warmup: 1.5 is out of range"),
        ("schedule={name: step, every: 2}", "schedule.gamma: missing; such as gamma: 0.1"),
        ("seed=-1", "seed: -1 is out of range; 0 or more"),
        ("seed=4294967296", "seed: 4294967296 is out of range; less than 4294967296"),
        ("data.image_size=[0, 3]", "data.image_size: [0, 3] is not a size in pixels; such as 32"),
        ("data.channels=2", "data.channels: 2 is not allowed; 1 or 3"),
        ("data.augment=[{random_crop: {padding: -1}}]", "data.augment[0].random_crop.padding: -1"),
        ("data.augment=[random_crop]", "data.augment[0]: changes nothing; give padding or size"),
        ("checkpoint.every=1 day", "checkpoint.every: '1 day' is not a period; such as 1 epoch"),
        ("checkpoint.every=0 steps", "checkpoint.every: '0 steps' is not a period"),
        ("resources.workers=0", "0 is not a number of workers; 1 or more, or [min, max]"),
        ("resources.workers=[4, 2]", "resources.workers: [4, 2] is out of order; [2, 4]"),
        ("model.args={a: [1, {b: .nan}]}", "model.args.a[1].b: must be a finite number"),
        # names and import paths
        ("name=my job", "name: 'my job' is not a legal name; letters, digits"),
        ("task='mine:'", "task: 'mine:' is not an import path; write package.module:name"),
        ("model.name=net.py:Net", "model.name: 'net.py:Net' names a file; the module, net:Net"),
        ("data.train={dataset: mine}", "data.train.dataset: 'mine' is not an import path"),
        ("register={name: a/b}", "register.name: 'a/b' is not a legal name"),
        ("register={name: a, alias: v2}", "register.alias: the alias 'v2' is MLflow's own"),
        ("register={name: a, alias: x y}", "register.alias: 'x y' is not a legal alias"),
        ("model.weights=models:/digits", "is not a registered model; models:/name/version or"),
        ("model.weights=net.pt", "is not a file of weights; models:/name/version, models:/name@"),
        # sources
        ("data.test={split: test}", "data.test: uri is missing; give either uri or dataset"),
        ("data.test={uri: a, dataset: b:C}", "data.test.dataset: uri is given as well; give"),
        ("data.test={uri: a, args: {b: 1}}", "data.test.args: only a dataset takes arguments"),
        ("data.test={dataset: b:C, format: coco}", "data.test.format: only a uri has a format"),
        ("data.on_error=ignore", "data.on_error: unknown on_error 'ignore'; one of fail, skip"),
        ("data.test=''", "data.test.uri: must not be empty"),
        # what one key asks of another
        ("epochs=", "the job has no end; give epochs or max_steps"),
        ("optimizer={name: sgd, lr: 1, nesterov: true}", "optimizer.nesterov: needs momentum"),
        ("batch_size=1", "batch_size: 1 is not divisible by 2 workers; 2"),
        ("objective={metric: accuracy, goal: maximize}", "'accuracy' is not a metric of val; such"),
        ("objective={metric: val/loss}", "objective.goal: missing; such as goal: maximize"),
        # environment
        ("env={HF_TOKEN: abc}", "env.HF_TOKEN: a credential in plain text; {secret: NAME}"),
        ("env={AWS_SECRET_ACCESS_KEY: x}", "env.AWS_SECRET_ACCESS_KEY: a credential in plain"),
        ("env={my_password: x}", "env.my_password: a credential in plain text"),
        ("env={FLAG: 1}", 'env.FLAG: must be text or {secret: NAME}, not 1; quote it: "1"'),
        ("env={HF_TOKEN: {secert: hf}}", "env.HF_TOKEN.secert: unknown key; did you mean secret"),
        ("env={A B: x}", "env.A B: is not a variable's name"),
    ],
)
def test_a_mistake_names_its_key_and_what_would_be_valid(
    mistakes: Mistakes, change: str, expected: str
) -> None:
    lines = mistakes(sets=(change,))
    assert any(expected in line for line in lines), lines
    assert "Input should" not in "".join(lines)


def test_a_missing_key_stands_at_its_parents_line(mistakes: Mistakes) -> None:
    swap = {"lr: 0.1, ": "", "batch_size: 64\n": "", "{name: resnet18}": "{}"}
    assert mistakes(swap=swap) == [
        "train.yaml:1: batch_size: missing; such as batch_size: 64",
        "train.yaml:3: model.name: missing; such as name: resnet18",
        "train.yaml:7: optimizer.lr: missing; such as lr: 0.1",
    ]


def test_selection_asks_for_val(mistakes: Mistakes) -> None:
    without_val = {"  val: {uri: images, split: val}\n": ""}
    more = "objective: {metric: val/f1, goal: maximize}\nregister: {name: a}\n"
    assert mistakes(swap={**without_val, "epochs: 3\n": f"epochs: 3\n{more}"}) == [
        "train.yaml:10: objective: val/f1 needs data.val; give data.val, or no objective"
    ]
    more = "checkpoint: {keep_best: 1}\nregister: {name: a}\n"
    assert mistakes(swap={**without_val, "epochs: 3\n": f"epochs: 3\n{more}"}) == [
        "train.yaml:10: checkpoint.keep_best: needs an objective; give objective, or keep_best: 0",
        "train.yaml:11: register.when: better needs an objective; give objective, or when: always",
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"kind": "train", "entrypoint": "mine"}, "entrypoint: 'mine' is not an import path"),
        ({"kind": "train", "entrypoint": "a:b", "model": {}}, "model: unknown key; one of args"),
        ({"kind": "predict", "model": "digits"}, "model: 'digits' is not a registered model"),
        ({"kind": "predict"}, "output: missing; such as output: predictions.parquet"),
        ({"kind": "evaluate", "data": {"train": "x"}}, "data.train: unknown key; one of args"),
        ({}, "kind: missing; one of evaluate, predict, train, tune"),
    ],
)
def test_the_other_kinds_have_their_own_keys(values: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        parse({"name": "demo", **values})
    assert expected in str(caught.value)

"""The user's own code at four depths: the examples under jobs/, and what can go wrong in them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest
import torch
from safetensors.torch import load_file

from heliostat.spec import Document, EntrypointSpec, InputError, TrainSpec
from heliostat.training.custom import bound_entrypoint
from heliostat.training.journal import events, read_all
from heliostat.training.setup import set_up

Load = Callable[..., Document]
Train = Callable[..., dict[str, float]]
Write = Callable[..., Document]

NOTHING = "no module named 'nothing' beside the spec or installed"

LOOP = """\
kind: train
name: loop
entrypoint: users_own:train
"""


# ---- the examples ---------------------------------------------------------------------------


def test_a_dataset_of_ones_own_trains_with_its_names_for_classes(
    load: Load, train_here: Train, tmp_path: Path
) -> None:
    metrics = train_here(load("own_dataset", "max_steps=24"), tmp_path)
    assert metrics["test/accuracy"] > 0.8
    assert {"test/f1/china", "test/f1/flower"} <= metrics.keys()
    (data,) = events(read_all(tmp_path / "journal"), "data")
    assert data["splits"]["train"]["uri"] == "tiles:Tiles"
    model = json.loads((tmp_path / "model" / "model.json").read_text())
    assert (model["classes"], model["input"]["shape"]) == (["china", "flower"], [-1, 3, 32, 32])


def test_a_lazy_model_of_ones_own_has_its_sizes_before_training(
    load: Load, train_here: Train, tmp_path: Path
) -> None:
    document = load("own_model", "max_steps=3")
    assert isinstance(document.spec, TrainSpec)
    setup = set_up(document.spec)
    assert setup.model.get_parameter("net.head.2.weight").shape == (10, 24 * 4 * 4)
    train_here(document, tmp_path)
    assert (tmp_path / "model" / "model.pt2").exists()


def test_a_task_of_ones_own_decides_the_metrics_and_what_the_model_gives(
    load: Load, train_here: Train, tmp_path: Path
) -> None:
    metrics = train_here(load("own_task", "max_steps=40"), tmp_path)
    assert metrics["test/accuracy"] > 0.7
    assert metrics["test/average_precision"] > 0.7
    program = torch.export.load(tmp_path / "model" / "model.pt2").module()
    scores = program(torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8))
    assert scores.shape == (5, 10)
    assert scores.min() >= 0
    assert not torch.allclose(scores.sum(dim=1), torch.ones(5))


def test_average_precision_is_one_where_every_own_score_is_above_the_others(load: Load) -> None:
    load("own_task")
    from one_vs_rest import OneVsRest  # type: ignore[import-not-found]

    evaluation = OneVsRest(("a", "b")).evaluation()
    logits = torch.tensor([[2.0, -2.0], [1.0, 0.1], [0.9, 2.0]])
    evaluation.update(torch.nn.Identity(), logits, torch.tensor([0, 0, 1]))
    assert evaluation.compute()["average_precision"] == 1.0
    evaluation.update(torch.nn.Identity(), torch.tensor([[3.0, -3.0]]), torch.tensor([1]))
    # Class a: a wrong answer above two right ones, (1/2 + 2/3) / 2; b: of two, 1 and 2/4.
    assert evaluation.compute()["average_precision"] == pytest.approx((7 / 12 + 3 / 4) / 2)


def test_a_loop_of_ones_own_goes_on_from_what_it_last_reported(
    load: Load, train_here: Train, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    metrics = train_here(load("own_loop", "max_steps=40"), whole)
    train_here(load("own_loop", "max_steps=25"), parts)
    assert train_here(load("own_loop", "max_steps=40"), parts, attempt=2) == metrics
    assert metrics["test/accuracy"] > 0.5
    (restored,) = events(read_all(parts / "journal"), "restored")
    assert restored["step"] == 25
    one, two = (load_file(folder / "model" / "weights.safetensors") for folder in (whole, parts))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_loop_of_ones_own_repeats_what_it_had_reported_beyond_its_checkpoint(
    write: Write, train_here: Train, tmp_path: Path
) -> None:
    source = """
import time

def train(run):
    for step in range(run.restored["step"] if run.restored else 0, run.spec.max_steps):
        time.sleep(0.05)
        checkpoint = {"model": {}} if step + 1 == 4 else None
        run.report({"loss": 1.0}, step=step + 1, checkpoint=checkpoint)
"""
    for attempt, steps in ((1, 6), (2, 8)):
        document = write(source, f"max_steps={steps}", text=LOOP)
        train_here(document, tmp_path, attempt=attempt)
    first, second = (
        [r for r in events(read_all(tmp_path / "journal"), "goodput") if r["attempt"] == attempt][
            -1
        ]
        for attempt in (1, 2)
    )
    assert first["seconds"]["trained"] >= 6 * 0.05
    assert first["seconds"]["repeated"] == 0
    assert second["seconds"]["repeated"] >= 2 * 0.05
    assert second["seconds"]["trained"] >= 2 * 0.05
    assert (first["step"], second["step"]) == (6, 8)


@pytest.mark.slow
def test_a_loop_of_ones_own_gives_the_same_on_two_ranks(
    load: Load, train_here: Train, tmp_path: Path
) -> None:
    script = """
import sys
from pathlib import Path
import torch.distributed as dist
from heliostat import spec
from heliostat.training.context import Context
from heliostat.training.process import train
from heliostat.training.reporter import Reporter
file, folder, rank = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
sys.path.insert(0, str(file.parent))
dist.init_process_group("gloo", init_method=f"file://{folder}.meet", rank=rank, world_size=2)
reporter = Reporter(folder, attempt=1, rank=rank)
context = Context(folder=folder, reporter=reporter, rank=rank, world_size=2)
train(spec.load(file, ["max_steps=20"]).spec, context, code=file.parent)
dist.destroy_process_group()
"""
    document = load("own_loop", "max_steps=20")
    folder = tmp_path / "two"
    command = [sys.executable, "-c", script, str(document.path), str(folder)]
    ranks = [Popen([*command, str(rank)]) for rank in range(2)]
    assert [rank.wait() for rank in ranks] == [0, 0]
    together = json.loads((folder / "result.json").read_text())["metrics"]
    alone = train_here(document, tmp_path / "one")
    assert together == pytest.approx(alone, abs=0.02)


# ---- what can go wrong ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.name=nothing:Net", f"model.name: model nothing:Net: {NOTHING}"),
        ("model.name=users_own.inner:Net", "model.name: .*no module named 'users_own.inner'"),
        ("task=nothing:Task", f"task: task nothing:Task: {NOTHING}"),
        ("data.train={dataset: 'nothing:Set'}", f"data.train.dataset: {NOTHING}"),
        ("model.name=users_own:Nett", r"model.name: .* has no 'Nett'; nearest: Net"),
        ("data.image_size=1", r"model.name: cnn_small cannot take inputs of 1×1×1: .*too small.*;"),
        ("model.args.num_classes=12", r"model.args: the model gives shape \(2, 12\) for 2 samples"),
        ("model.name=users_own:Net", r"model.args: the model gives shape \(2, 3\) for 2 samples"),
        ("data.train={dataset: 'users_own:Nameless'}", "task: classification needs classes"),
    ],
)
def test_what_does_not_fit_is_one_line_that_names_its_key(
    write: Write, override: str, message: str
) -> None:
    document = write(
        """
import torch
class Net(torch.nn.Module):
    def forward(self, images):
        return images.flatten(1)[:, :3]
class Nameless:
    def __len__(self):
        return 5
    def __getitem__(self, index):
        return torch.rand(1, 8, 8), 0.5
""",
        override,
    )
    assert isinstance(document.spec, TrainSpec)
    with pytest.raises(InputError, match=f"^{message}") as caught:
        set_up(document.spec)
    assert len(caught.value.problems) == 1
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("signature", "args", "message"),
    [
        ("run, width", "{widht: 3}", r"args: .* takes no argument 'widht'; it takes width"),
        ("run, width", "{}", "args: .* needs the argument 'width'; it takes width"),
        ("run", "{run: 3}", "args: .* takes no argument 'run'; it takes none"),
        ("*, width", "{width: 3}", "entrypoint: .* takes no context; def function"),
    ],
)
def test_arguments_a_loop_does_not_take_are_told_before_it_runs(
    write: Write, signature: str, args: str, message: str
) -> None:
    document = write(f"def train({signature}): ...", f"args={args}", text=LOOP)
    assert isinstance(document.spec, EntrypointSpec)
    with pytest.raises(InputError, match=f"^{message}"):
        bound_entrypoint(document.spec)


@pytest.mark.parametrize(
    ("entrypoint", "message"),
    [
        ("nothing:train", f"entrypoint: entrypoint nothing:train: {NOTHING}"),
        ("users_own:tarin", r"entrypoint: .* has no 'tarin'; nearest: train"),
        ("users_own:number", "entrypoint: .* is a int, not a class or function"),
    ],
)
def test_a_loop_that_is_not_there_is_told_by_its_key(
    write: Write, entrypoint: str, message: str
) -> None:
    source = "number = 3\ndef train(run): ..."
    document = write(source, f"entrypoint={entrypoint}", text=LOOP)
    assert isinstance(document.spec, EntrypointSpec)
    with pytest.raises(InputError, match=f"^{message}"):
        bound_entrypoint(document.spec)


def test_what_a_module_of_ones_own_cannot_import_stays_its_own_error(write: Write) -> None:
    loop = write("import nothing_like_it", text=LOOP).spec
    assert isinstance(loop, EntrypointSpec)
    with pytest.raises(ModuleNotFoundError, match="nothing_like_it"):
        bound_entrypoint(loop)
    document = write("import nothing_like_it", "data.train={dataset: 'users_own:Set'}")
    assert isinstance(document.spec, TrainSpec)
    with pytest.raises(ModuleNotFoundError, match="nothing_like_it"):
        set_up(document.spec)


@pytest.mark.parametrize("mode", ["self.training", "not self.training"])
def test_an_exception_in_ones_own_model_is_told_from_its_own_first_line(
    write: Write, train_here: Train, tmp_path: Path, mode: str
) -> None:
    document = write(
        f"""
import torch
class Net(torch.nn.Sequential):
    def __init__(self):
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    def forward(self, images):
        if {mode}:
            raise TypeError("mine")
        return super().forward(images)
""",
        "model.name=users_own:Net",
    )
    with pytest.raises(TypeError, match="mine"):
        train_here(document, tmp_path)
    (failed,) = events(read_all(tmp_path / "journal"), "failed")
    assert (failed["verdict"], failed["message"]) == ("user_code", "mine")
    lines = failed["traceback"].splitlines()
    assert lines[1].startswith(f'  File "{document.folder / "users_own.py"}", line 8, in forward')
    assert lines[-1] == "TypeError: mine"


def test_a_type_error_inside_a_loop_is_its_own(
    write: Write, train_here: Train, tmp_path: Path
) -> None:
    document = write("def train(run, width): return width + 'a'", "args={width: 3}", text=LOOP)
    with pytest.raises(TypeError, match="unsupported operand"):
        train_here(document, tmp_path)
    (failed,) = events(read_all(tmp_path / "journal"), "failed")
    assert failed["verdict"] == "user_code"
    assert failed["traceback"].splitlines()[1].endswith("line 1, in train")


def test_a_loop_that_reports_weights_that_are_not_finite_has_diverged(
    write: Write, train_here: Train, tmp_path: Path
) -> None:
    source = """
import torch
def train(run):
    good = {"model": {"weight": torch.ones(2)}, "note": [1, "two"]}
    run.report({"train/loss": 1.0}, step=1, checkpoint=good)
    run.report({"train/loss": 2.0}, step=2, checkpoint={"model": {"weight": torch.tensor(1e999)}})
"""
    with pytest.raises(ArithmeticError, match="the weights at step 2 are not finite"):
        train_here(write(source, text=LOOP), tmp_path)
    records = read_all(tmp_path / "journal")
    assert [event["verdict"] for event in events(records, "failed")] == ["diverged"]
    again = """
def train(run):
    assert run.restored["note"] == [1, "two"], run.restored
    assert run.restored["step"] == 1
    assert run.restored["model"]["weight"].tolist() == [1, 1]
"""
    sys.modules.pop("users_own")
    assert train_here(write(again, text=LOOP), tmp_path, attempt=2) == {"train/loss": 1.0}

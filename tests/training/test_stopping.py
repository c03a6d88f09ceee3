"""A job that is told to stop: every rank stops after the same step, and nothing of it is lost."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file

from heliostat.spec import Document, EntrypointSpec, TrainSpec
from heliostat.training.checkpoints import existing
from heliostat.training.context import Context
from heliostat.training.journal import events, read_all
from heliostat.training.process import train
from heliostat.training.reporter import Reporter
from heliostat.training.stopping import EVERY, Stopped, Stopping
from heliostat.training.storage import sha256
from heliostat.training.trial_process import run_leg

Write = Callable[..., Document]
Train = Callable[..., dict[str, float]]

NET = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Dropout(), nn.Linear(288, 10)
        )
"""
OVERRIDES = (
    "model.name=users_own:Net",
    "data.augment=[{random_crop: {padding: 1}}]",
    "epochs=3",  # of five steps each
    "max_steps=null",
    "log_every=2",
    "objective={metric: val/accuracy, goal: maximize}",
)


def at_ask(number: int) -> Callable[[], bool]:
    """Return a `Context.stop` that says yes from the call of this number on, from 1."""
    asked = iter(range(1, sys.maxsize))
    return lambda: next(asked) >= number


def told_here(document: Document, folder: Path, stop: Callable[[], bool], attempt: int = 1) -> None:
    """Train in this process, which is told to stop and does."""
    assert isinstance(document.spec, TrainSpec | EntrypointSpec)
    reporter = Reporter(folder, attempt=attempt)
    context = Context(folder=folder, reporter=reporter, attempt=attempt, stop=stop)
    with pytest.raises(Stopped):
        train(document.spec, context, code=document.folder)


# ---- the step at which all ranks stop ---------------------------------------------------------


Rank = Callable[..., Stopping]


@pytest.fixture
def rank(tmp_path: Path) -> Iterator[Rank]:
    """Give what one of two ranks asks before each step."""
    reporter = Reporter(tmp_path, attempt=1)

    def asking(
        number: int,
        store: dist.Store,
        stop: Callable[[], bool] | None = None,
        *,
        preempted: Callable[[], bool] | None = None,
        device: str = "cpu",
        world_size: int = 2,
    ) -> Stopping:
        return Stopping(
            Context(
                folder=tmp_path,
                reporter=reporter,
                rank=number,
                world_size=world_size,
                device=torch.device(device),
                stop=stop,
                preempted=preempted,
                store=store,
            )
        )

    yield asking
    reporter.close()


def steps_until_stopped(stopping: Stopping, begin: int) -> Iterator[int]:
    """Yield each step before which the loop was not stopped, then the one after which it is."""
    for step in range(begin, begin + 100):
        try:
            stopping.check(step)
        except Stopped:
            yield step
            return
        yield step


@pytest.mark.parametrize("preempted", [False, True])
def test_every_rank_knows_whether_it_stops_for_the_user_or_for_a_machine_that_is_to_go(
    rank: Rank, preempted: bool
) -> None:
    store = dist.HashStore()
    told = {"stop": lambda: True, "preempted": lambda: preempted}
    for stopping in (rank(0, store, **told), rank(1, store)):
        with pytest.raises(Stopped) as stopped:
            list(map(stopping.check, range(3 * EVERY)))
        assert stopped.value.preempted == preempted
        assert str(stopped.value) == f"{'preempted' if preempted else 'stopped'} after step {EVERY}"


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("begin", range(EVERY + 1))
def test_ranks_stop_after_the_same_step_whenever_rank_0_is_told(
    begin: int, ahead: bool, rank: Rank
) -> None:
    for told in range(1, 2 * EVERY + 1):
        store = dist.HashStore()
        first = steps_until_stopped(rank(0, store, at_ask(told)), begin)
        second = steps_until_stopped(rank(1, store), begin)
        # Of two ranks that average gradients at each step, either may be the first to ask.
        turns = zip(second, first, strict=True) if ahead else zip(first, second, strict=True)
        one, other = list(turns)[-1]
        assert one == other
        assert one % EVERY == 0
        assert 0 < one - (begin + told - 1) <= EVERY


def test_where_steps_are_only_queued_the_stop_is_announced_a_look_earlier(rank: Rank) -> None:
    stopping = rank(0, dist.HashStore(), at_ask(3), device="cuda")
    *_, last = steps_until_stopped(stopping, 0)
    assert EVERY < last - 2 <= 2 * EVERY


def test_a_job_of_one_rank_stops_before_the_very_step_at_which_it_is_told(rank: Rank) -> None:
    alone = rank(0, dist.HashStore(), at_ask(3), world_size=1)
    assert list(steps_until_stopped(alone, 0)) == [0, 1, 2]


def test_a_rank_whose_store_is_gone_leaves_it_to_the_next_collective_to_say_so(
    rank: Rank,
) -> None:
    master = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    store = dist.TCPStore("127.0.0.1", master.port, wait_for_workers=False)
    stopping = rank(1, store)
    stopping.check(0)
    del master
    stopping.check(EVERY)
    stopping.check(2 * EVERY)


# ---- what a stopped job leaves ----------------------------------------------------------------


@pytest.mark.parametrize("told", [8, 11])  # in the middle of an epoch, and between two
def test_a_stopped_job_goes_on_from_the_step_where_it_was_to_the_same_weights(
    write: Write, train_here: Train, tmp_path: Path, told: int
) -> None:
    document = write(NET, *OVERRIDES)
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    told_here(document, stopped, at_ask(told))
    assert existing(stopped / "checkpoints")[-1].step == told - 1
    ended = events(read_all(stopped / "journal"), "attempt_ended")
    assert [event["why"] for event in ended] == ["stopped"]
    assert not (stopped / "result.json").exists()

    assert train_here(document, stopped, attempt=2) == train_here(document, whole)
    one, other = (sha256(each / "model" / "weights.safetensors") for each in (stopped, whole))
    assert one == other
    records = read_all(stopped / "journal")
    (restored,) = events(records, "restored")
    assert restored["step"] == told - 1
    assert not events(records, "repeated")


def test_a_checkpoint_that_stands_keeps_the_objective_that_it_was_written_for(
    write: Write, tmp_path: Path
) -> None:
    document = write(NET, *OVERRIDES)
    told_here(document, tmp_path, at_ask(6))  # after the first epoch, which is the best so far
    (checkpoint,) = existing(tmp_path / "checkpoints")
    assert checkpoint.step == 5
    assert checkpoint.objective is not None


def test_a_job_that_is_told_before_its_first_step_writes_nothing(
    write: Write, tmp_path: Path
) -> None:
    told_here(write(NET, *OVERRIDES), tmp_path, at_ask(1))
    assert not existing(tmp_path / "checkpoints")


RANK = """
import sys
from pathlib import Path
import torch
import torch.distributed as dist
from safetensors.torch import save_file
from heliostat import spec
from heliostat.training.context import Context
from heliostat.training.loop import fit
from heliostat.training.reporter import Reporter
from heliostat.training.setup import set_up
from heliostat.training.stopping import Stopped

torch.set_num_threads(1)
file, place, rank = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
sys.path.insert(0, str(file.parent))
store = dist.FileStore(f"{place}.meet", 2)
dist.init_process_group("gloo", store=dist.PrefixStore("group", store), rank=rank, world_size=2)
asked = iter(range(1, 1000))
stops = {"stopped": lambda: next(asked) >= 7, "whole": lambda: False}

for name, attempt in (("stopped", 1), ("stopped", 2), ("whole", 1)):
    stop = stops[name] if attempt == 1 and rank == 0 else None
    folder = place / name
    reporter = Reporter(folder, attempt=attempt, rank=rank)
    context = Context(folder=folder, reporter=reporter, rank=rank, world_size=2, stop=stop,
                      store=dist.PrefixStore(f"{name}-{attempt}", store), attempt=attempt)
    document = spec.load(file, sys.argv[4:])
    setup = set_up(document.spec)
    try:
        fit(document.spec, setup, context)
    except Stopped as stopped:
        reporter.event("left", said=str(stopped))
        dist.barrier()
    else:
        save_file(setup.model.state_dict(), folder / f"rank-{rank}.safetensors")
    reporter.close()
dist.destroy_process_group()
"""


def test_two_ranks_stop_together_and_go_on_to_the_same_weights(
    write: Write, tmp_path: Path
) -> None:
    document = write(NET, *OVERRIDES)
    place = tmp_path / "two"
    command = [sys.executable, "-W", "error", "-c", RANK, str(document.path), str(place)]
    ranks = [Popen([*command, str(number), *document.overrides]) for number in range(2)]
    assert [each.wait(timeout=120) for each in ranks] == [0, 0]
    records = read_all(place / "stopped" / "journal")
    left = [(event["rank"], event["said"]) for event in events(records, "left")]
    assert left == [(0, "stopped after step 8"), (1, "stopped after step 8")]
    (restored,) = events(records, "restored")
    assert restored["step"] == 8
    one, other, whole = (
        sha256(place / name) for name in
        ("stopped/rank-0.safetensors", "stopped/rank-1.safetensors", "whole/rank-0.safetensors")
    )  # fmt: skip
    assert one == other == whole


# ---- a loop of the user's own -----------------------------------------------------------------

LOOP = """
import torch
from torch import nn

def train(run, asks, every):
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    begin = run.restored["step"] if run.restored else 0
    if run.restored:
        model.load_state_dict(run.restored["model"])
    for step in range(begin + 1, 21):
        with torch.no_grad():
            model.weight += step
        ending = asks and run.should_stop()
        kept = {"model": model.state_dict()} if ending or step % every == 0 else None
        run.report({"train/loss": 1.0 / step}, step=step, checkpoint=kept)
        if ending:
            return
"""
SPEC = "kind: train\nname: loop\nentrypoint: users_own:train\nargs: {asks: true, every: 5}\n"


def weights(folder: Path) -> torch.Tensor:
    checkpoint = existing(folder / "checkpoints")[-1]
    weight: torch.Tensor = load_file(checkpoint.folder / "model.safetensors")["weight"]
    return weight


@pytest.mark.parametrize(("asks", "at"), [("true", 3), ("false", 5)])
def test_a_loop_of_ones_own_stops_where_it_asks_or_else_at_its_next_checkpoint(
    write: Write, train_here: Train, tmp_path: Path, asks: str, at: int
) -> None:
    document = write(LOOP, f"args.asks={asks}", text=SPEC)
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    told_here(document, stopped, at_ask(3) if asks == "true" else at_ask(1))
    assert existing(stopped / "checkpoints")[-1].step == at
    train_here(document, stopped, attempt=2)
    train_here(document, whole)
    assert torch.equal(weights(stopped), weights(whole))


def test_a_searchs_trial_with_a_loop_of_ones_own_stops_at_its_next_report(
    write: Write, tmp_path: Path
) -> None:
    spec = write(LOOP, "args={asks: false, every: 100}", text=SPEC).spec
    assert isinstance(spec, EntrypointSpec)
    reporter = Reporter(tmp_path, attempt=1)
    with pytest.raises(Stopped):
        run_leg(spec, Context(tmp_path, reporter, stop=at_ask(2)), until=None)
    losses = [r for r in read_all(tmp_path / "journal") if r.get("name") == "train/loss"]
    assert [record["step"] for record in losses] == [1, 2]


def test_a_loop_of_ones_own_that_nobody_stops_is_told_so(
    write: Write, train_here: Train, tmp_path: Path
) -> None:
    train_here(write(LOOP, text=SPEC), tmp_path)
    assert existing(tmp_path / "checkpoints")[-1].step == 20
    assert json.loads((tmp_path / "result.json").read_text())["metrics"]

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from heliostat.training.checkpoints import CheckpointStore, NotFiniteError, existing
from heliostat.training.state_files import join_state, split_state
from heliostat.training.storage_away import StorageAway
from heliostat.training.unsaved import Unsaved
from heliostat.training.verifying import MANIFEST
from waiting import wait_until


def store(folder: Path, **settings: Any) -> CheckpointStore:
    return CheckpointStore(
        folder, **{"attempt": 1, "keep_best": 1, "keep_latest": 2, "maximize": True, **settings}
    )


def save(to: CheckpointStore, step: int, objective: float | None = None) -> None:
    weights = {"weight": torch.full((50,), float(step))}
    to.save(step, weights, {"at": step, "mean": torch.tensor(step)}, objective=objective)
    to.wait()


def steps(folder: Path) -> list[int]:
    return [checkpoint.step for checkpoint in existing(folder)]


def test_files_without_a_manifest_are_no_checkpoint_and_go_with_the_next_one(
    tmp_path: Path,
) -> None:
    written = store(tmp_path)
    save(written, 10, objective=0.5)
    (existing(tmp_path)[0].folder / MANIFEST).unlink()
    assert written.newest() == (None, ["step-0000000010-a0001: it has no manifest"])
    assert written.best() is None
    save(store(tmp_path, attempt=2), 20)
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000000020-a0002"]


def test_the_best_and_the_latest_are_kept_and_the_earlier_of_equals_is_the_best(
    tmp_path: Path,
) -> None:
    rated = {1: 0.5, 2: 0.9, 3: 0.7, 4: 0.9, 5: None, 6: 0.1}
    for maximize, kept in ((True, [2, 5, 6]), (False, [5, 6])):
        folder = tmp_path / str(maximize)
        written = store(folder, maximize=maximize)
        for step, objective in rated.items():
            save(written, step, objective)
        assert steps(folder) == kept
        assert sorted(path.name for path in folder.iterdir()) == [
            f"step-{step:010d}-a0001" for step in kept
        ]
        best = written.best()
        assert best is not None
        assert best.step == (2 if maximize else 6)


def test_weights_that_are_not_finite_are_never_written(tmp_path: Path) -> None:
    written = store(tmp_path)
    save(written, 1)
    with pytest.raises(NotFiniteError, match="step 2"):
        written.save(2, {"weight": torch.tensor([1.0, torch.nan])}, {})
    assert steps(tmp_path) == [1]


def test_what_cannot_be_written_waits_and_gives_way_to_what_is_newer(tmp_path: Path) -> None:
    """A folder that is not there, in place of a file system that is away."""
    (tmp_path / "mount").touch()
    told: list[tuple[str, str]] = []
    unsaved = Unsaved(lambda event, **fields: told.append((event, fields["what"])))
    written = store(tmp_path / "mount", unsaved=unsaved)
    for step, objective in ((1, None), (2, 0.5), (3, 0.4), (4, None), (5, None)):
        began = time.monotonic()
        written.save(step, {"weight": torch.ones(3)}, {}, objective=objective)
        assert time.monotonic() - began < 5  # it is not waited for
    wait_until(lambda: told, 30, lambda: "nothing was told")

    (tmp_path / "mount").unlink()
    written.wait()

    assert steps(tmp_path / "mount") == [2, 5]  # the best and the newest
    assert told == [("unsaved", "a checkpoint"), ("saved_again", "a checkpoint")]


def test_a_job_fails_when_nothing_could_be_written_for_its_limit_and_says_why(
    tmp_path: Path,
) -> None:
    (tmp_path / "mount").touch()
    unsaved = Unsaved(lambda event, **fields: None, limit=0.2)
    written = store(tmp_path / "mount", unsaved=unsaved)
    written.save(1, {}, {})
    told = r"a checkpoint could not be saved for 0.2 s: .*mount cannot be written: Not a directory"
    with pytest.raises(StorageAway, match=told):
        written.wait()
    with pytest.raises(StorageAway):
        written.save(2, {}, {})


def test_a_writer_that_is_slow_holds_no_step_and_the_newest_state_is_not_lost(
    tmp_path: Path,
) -> None:
    free = threading.Event()
    written = store(tmp_path, fence=lambda: assert_true(free.wait(60)), keep_latest=9)
    for step in range(1, 6):
        written.save(step, {"weight": torch.ones(3)}, {})
    free.set()
    written.wait()
    assert steps(tmp_path) in ([1, 5], [5])  # the one that was being written, and the newest


def test_the_same_step_again_takes_the_place_of_the_first_and_a_failure_leaves_that(
    tmp_path: Path,
) -> None:
    passes = iter([True] * 6 + [False])
    written = store(tmp_path, fence=lambda: assert_true(next(passes)))
    save(written, 1)
    save(written, 1, objective=0.5)
    assert [c.objective for c in existing(tmp_path)] == [0.5]
    with pytest.raises(AssertionError):
        save(written, 2)
    assert [c.objective for c in existing(tmp_path)] == [0.5]
    assert len(list(tmp_path.iterdir())) == 1


def assert_true(value: bool) -> None:
    assert value


def test_training_may_change_the_weights_while_they_are_written(tmp_path: Path) -> None:
    weight = torch.zeros(1_000_000)
    written = store(tmp_path)
    written.save(1, {"weight": weight}, {})
    weight += 1
    written.wait()
    assert existing(tmp_path)[0].weights()["weight"].sum() == 0


def test_an_optimizers_state_comes_back_whole_with_its_integer_keys(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    back = round_trip({"optimizer": optimizer.state_dict(), "losses": [0.1, None]}, tmp_path)
    assert back["losses"] == [0.1, None]
    assert list(back["optimizer"]["state"]) == [0, 1]
    other = torch.optim.AdamW(nn.Linear(3, 2).parameters(), lr=0.5)
    other.load_state_dict(back["optimizer"])
    assert other.param_groups[0]["lr"] == 0.1
    for mine, theirs in zip(
        optimizer.state_dict()["state"].values(), other.state_dict()["state"].values(), strict=True
    ):
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_tuples_come_back_as_tuples_and_lists_as_lists(tmp_path: Path) -> None:
    state = {"betas": (0.9, 0.99), "coefficients": [(1.0, 2.0)], "of tensors": (torch.ones(1),)}
    back = round_trip(state, tmp_path)
    assert back["coefficients"] == [(1.0, 2.0)]
    assert (back["betas"], type(back["of tensors"])) == ((0.9, 0.99), tuple)


def test_tied_weights_and_views_are_saved_each_with_its_own_values(tmp_path: Path) -> None:
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    base = torch.arange(6.0).reshape(2, 3)
    state = {"model": tied.state_dict(), "row": base[1], "turned": base.T}
    back = round_trip(state, tmp_path)
    tied.load_state_dict(back["model"])
    assert back["row"].tolist() == [3, 4, 5]
    assert torch.equal(back["turned"], base.T)


def test_paths_that_are_spelt_alike_stay_apart(tmp_path: Path) -> None:
    back = round_trip({"a.b": torch.tensor(1), "a": {"b": torch.tensor(2)}}, tmp_path)
    assert (int(back["a.b"]), int(back["a"]["b"])) == (1, 2)


def test_what_only_a_pickle_could_hold_is_refused_by_its_path() -> None:
    with pytest.raises(TypeError, match=r"ema\.1 is a object"):
        split_state({"ema": [1, object()]})


def round_trip(state: Any, folder: Path) -> Any:
    tensors, rest = split_state(state)
    save_file(tensors, folder / "state.safetensors")
    loaded: dict[str, Tensor] = load_file(folder / "state.safetensors")
    return join_state(loaded, json.loads(json.dumps(rest)))

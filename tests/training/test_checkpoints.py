from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from heliostat.training.checkpoints import (
    MANIFEST,
    WEIGHTS,
    CheckpointStore,
    NotFiniteError,
    existing,
)
from heliostat.training.state_files import join_state, split_state


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


@pytest.mark.parametrize(
    ("name", "spoil", "reason"),
    [
        (WEIGHTS, lambda content: content[:-1] + b"?", "has another content than was written"),
        (WEIGHTS, lambda content: content[:-5], "bytes of"),
        ("state.json", lambda content: None, "state.json is missing"),
    ],
)
def test_a_newest_checkpoint_that_is_spoilt_is_passed_over_with_the_reason(
    tmp_path: Path, name: str, spoil: Any, reason: str
) -> None:
    written = store(tmp_path)
    save(written, 10)
    save(written, 20)
    path = existing(tmp_path)[-1].folder / name
    content = spoil(path.read_bytes())
    path.unlink() if content is None else path.write_bytes(content)
    newest, skipped = store(tmp_path, attempt=2).newest()
    assert newest is not None
    assert (newest.step, newest.state()["at"]) == (10, 10)
    assert torch.equal(newest.weights()["weight"], torch.full((50,), 10.0))
    assert len(skipped) == 1
    assert skipped[0].startswith("step-0000000020-a0001: ")
    assert reason in skipped[0]


def test_files_without_a_manifest_are_no_checkpoint(tmp_path: Path) -> None:
    written = store(tmp_path)
    save(written, 10, objective=0.5)
    (existing(tmp_path)[0].folder / MANIFEST).unlink()
    assert written.newest() == (None, [])
    assert written.best() is None


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


def test_a_write_that_failed_is_told_at_the_next_wait(tmp_path: Path) -> None:
    (tmp_path / "a-file").touch()
    written = store(tmp_path / "a-file")
    written.save(1, {}, {})
    with pytest.raises(NotADirectoryError):
        written.wait()


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

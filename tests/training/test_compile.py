"""model.compile: the step goes through torch's compiler, and gives what it gives without."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from heliostat.spec import Document, InputError
from heliostat.training.journal import read_all

Write = Callable[..., Document]
Train = Callable[..., dict[str, float]]

COMPILER = os.environ.get("CXX") or "g++"


@pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"needs a C++ compiler: {COMPILER}")
def test_a_compiled_step_has_the_losses_of_the_plain_one_and_its_model_is_packaged(
    write: Write, train_here: Train, tmp_path: Path
) -> None:
    losses = {}
    for compiled in ("true", "false"):
        # The fifth batch of 45 holds 20 samples: another shape than was compiled first.
        settings = (f"model.compile={compiled}", "batch_size=45", "max_steps=6", "log_every=1")
        train_here(write("", *settings), tmp_path / compiled)
        records = read_all(tmp_path / compiled / "journal")
        losses[compiled] = [r["value"] for r in records if r.get("name") == "train/loss"]
    assert losses["true"] == pytest.approx(losses["false"], rel=1e-3)
    assert len(losses["true"]) == 6
    assert (tmp_path / "true" / "model" / "model.pt2").is_file()


def test_without_a_compiler_it_is_one_line(
    write: Write, train_here: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match=r"^model\.compile: .* no no-such-compiler; false, or a"):
        train_here(write("", "model.compile=true"), tmp_path / "job")

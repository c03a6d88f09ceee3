"""One attempt of a spec that is tried for `helio check --resume`, in a process of its own.

python -m heliostat.runtime.resume_attempt REQUEST.json
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from heliostat.runtime import environment
from heliostat.runtime.worker import make_importable


@dataclass(frozen=True)
class Request:
    """What the process is to do."""

    spec: dict[str, Any]
    """As `spec.dump` gives it, with its weights on this machine."""
    code: str
    """The folder with the user's modules."""
    folder: str
    """The attempt's job's."""
    attempt: int
    stand_at: int | None
    """The step, from 1, before which it stands still, to be killed; None: it goes to the end."""

    def write(self, path: Path) -> None:
        """Write it where the process finds it."""
        path.write_text(json.dumps(asdict(self)))


def main() -> None:
    """Train; what fails is written to stderr as a user reads it, with status 1."""
    request = Request(**json.loads(Path(sys.argv[1]).read_text()))
    from heliostat import spec as specs
    from heliostat.training.context import Context, choose_device
    from heliostat.training.judging import user_traceback
    from heliostat.training.reporter import Reporter
    from heliostat.training.witness import train_watched

    spec = specs.parse(request.spec)
    assert isinstance(spec, specs.TrainSpec)
    make_importable(request.code)
    environment.apply(spec.env)
    folder = Path(request.folder)
    reporter = Reporter(folder, attempt=request.attempt)
    device = choose_device(0, gpus=spec.resources.gpus_per_worker)
    context = Context(folder, reporter, device=device, attempt=request.attempt)
    try:
        train_watched(spec, context, stand_at=request.stand_at)
    except (Exception, SystemExit) as error:  # the user's code may call sys.exit
        sys.stderr.write(user_traceback(error))
        sys.exit(1)
    reporter.close()


if __name__ == "__main__":
    main()

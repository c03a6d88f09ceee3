"""The peer of walltime: two processes that train under bare Optuna, over a storage they share.

    python search_peer_optuna.py --points points.json --storage journal.log --data FOLDER

The points are enqueued, so that the trials are those of heliostat's search. A search's best value
goes to stdout.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import optuna
from optuna.distributions import FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

NAME = "walltime"
PROCESSES = 2
SPACES = {
    "optimizer.lr": FloatDistribution(1.0e-3, 0.3, log=True),
    "optimizer.momentum": FloatDistribution(0.5, 0.95),
    "optimizer.weight_decay": FloatDistribution(1.0e-5, 1.0e-2, log=True),
}
"""Those of search_walltime.yaml."""


def main() -> None:
    """Search, or be one of the processes that do."""
    args = parse_arguments()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(JournalFileBackend(str(args.storage)))
    points = json.loads(args.points.read_text())
    if args.worker is not None:
        study = optuna.load_study(study_name=NAME, storage=storage)
        train(study, args, len(points[args.worker :: PROCESSES]))
        return
    study = optuna.create_study(study_name=NAME, storage=storage, direction="maximize")
    for point in points:
        study.enqueue_trial(point)
    run_workers()
    states = [trial.state.name for trial in study.trials]
    if states != ["COMPLETE"] * len(points):
        sys.exit(f"{len(points)} complete trials were wanted, not {states}")
    print(study.best_value)


def parse_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=Path, required=True)
    parser.add_argument("--storage", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--val", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--worker", type=int, help="be this one of the processes")
    return parser.parse_args()


def run_workers() -> None:
    """Run the processes to their end."""
    commands = [[sys.executable, *sys.argv, "--worker", str(n)] for n in range(PROCESSES)]
    processes = [subprocess.Popen(command) for command in commands]
    statuses = [process.wait() for process in processes]
    if any(statuses):
        sys.exit(f"the processes ended with {statuses}")


def train(study: optuna.Study, args: argparse.Namespace, trials: int) -> None:
    """Train so many trials, one after another."""
    from search_training import fashion, fit  # torch: the parent goes without

    training = fashion(args.data, images=args.images, val=args.val, epochs=args.epochs)
    for _ in range(trials):
        trial = study.ask({**SPACES})
        study.tell(trial, fit(training, trial.params)[0])


def draw_points(trials: int, seed: int) -> list[dict[str, float]]:
    """Return the suggestions of Optuna's random sampler."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return [study.ask({**SPACES}).params for _ in range(trials)]


if __name__ == "__main__":
    main()

"""Ray Tune as what runs a search's legs: it places them, keeps their actors, sees them die.

What is tried next is decided elsewhere; each of Tune's trials is one leg. The names with an
underscore are those of the Ray that is pinned.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any, Literal, Protocol

from ray import tune
from ray.tune import Callback
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from heliostat.runtime.search_leg import LegTrainable
from heliostat.spec import Resources

SETTINGS = {
    # Result files and progress reports, a state of the experiment on the disk every few seconds,
    # signal handlers: the ledger, the journals and the recorder are what these would be for.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "1000000000",
    # Old output: with verbose=0 it prints nothing at all.
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


class Source(Protocol):
    """Where legs come from and what hears of their ends; called from Tune's thread alone."""

    closed: bool
    """Whether Tune is to leave everything as it is, and end."""

    def next(self) -> dict[str, Any] | Literal["wait", "end"]:
        """Return the next leg, as `work_as`'s config."""

    def ended(self, leg: dict[str, Any], error: dict[str, Any] | None) -> None:
        """Hear that a leg came to its end, or failed: `lost` (its process is gone), `message`."""


def run_legs(source: Source, resources: Resources, at_once: int, folder: Path) -> None:
    """Run legs, `at_once` at a time, until the source says that it is the end."""
    # All legs that may run are asked for at once; Tune's own choice is one at a time.
    settings = {**SETTINGS, "TUNE_MAX_PENDING_TRIALS_PG": str(at_once)}
    os.environ.update({name: os.environ.get(name, value) for name, value in settings.items()})
    legs = _Legs(source, at_once)
    tune.run(
        LegTrainable,
        name="legs",
        storage_path=str(folder),
        search_alg=legs,
        scheduler=_Keeping(at_once),
        callbacks=[_Ends(legs)],
        trial_dirname_creator=lambda trial: str(trial.trial_id),
        resources_per_trial=_bundles(resources),
        num_samples=-1,
        reuse_actors=True,
        max_failures=0,
        raise_on_failed_trial=False,
        verbose=0,
    )


class Tuning:
    """`run_legs` in a thread of its own, so that the main thread keeps its Ctrl-C."""

    def __init__(self, source: Source, resources: Resources, at_once: int, folder: Path) -> None:
        """Start."""
        self._error: BaseException | None = None
        # Before Python 3.13 a thread whose `join` a signal interrupts is taken for ended
        # (bpo-45274).
        self._over = threading.Event()
        threading.Thread(
            target=self._run, args=(source, resources, at_once, folder), name="tune", daemon=True
        ).start()

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; return whether all is over. Raises what Tune raised."""
        self._over.wait(seconds)
        if self._error is not None and not isinstance(self._error, _Closed):
            raise self._error
        return self._over.is_set()

    def leave(self) -> None:
        """Wait until Tune has left, its source being closed.

        Ray must not be shut down while Tune waits for it: that may end the whole process.
        """
        self._over.wait(_LEAVING_SECONDS)

    def _run(self, *arguments: Any) -> None:
        try:
            run_legs(*arguments)
        except BaseException as error:
            self._error = error
        finally:
            self._over.set()


def _bundles(resources: Resources) -> tune.PlacementGroupFactory:
    """Return what a leg takes. Several workers bring their own group: their leader takes nothing,
    as nearly as a placement group allows."""
    if resources.max_workers > 1:
        return tune.PlacementGroupFactory([{"memory": 1.0}])
    return tune.PlacementGroupFactory([dict(resources.per_worker)])


class _Legs(Searcher):
    """Tune's question for a new trial, answered with a leg."""

    def __init__(self, source: Source, at_once: int) -> None:
        super().__init__()
        self.source = source
        self._at_once = at_once
        self.running: dict[str, dict[str, Any]] = {}

    def suggest(self, trial_id: str) -> Any:
        if len(self.running) >= self._at_once:
            return None
        leg = self.source.next()
        if leg == "end":
            return Searcher.FINISHED if not self.running else None
        if leg == "wait":
            return None
        assert isinstance(leg, dict)
        self.running[trial_id] = leg
        return {"leg": json.dumps(leg)}

    def end(self, trial_id: str, error: dict[str, Any] | None) -> None:
        self.source.ended(self.running.pop(trial_id), error)

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Nothing: the callback knows more."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is what a search is rebuilt from."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""


class _Closed(BaseException):
    """The driver is leaving. No Exception: after those Tune waits for every leg to end."""


_LEAVING_SECONDS = 10.0


class _Ends(Callback):
    """Hears of the legs' ends."""

    def __init__(self, legs: _Legs) -> None:
        self._legs = legs

    def on_step_begin(self, iteration: int, trials: Any, **info: Any) -> None:
        if self._legs.source.closed:
            raise _Closed

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._legs.end(trial.trial_id, trial.last_result.get("error"))
        trials.remove(trial)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        reason = Path(trial.error_file).read_text() if trial.error_file else "its actor is gone"
        self._legs.end(trial.trial_id, {"lost": True, "message": reason})


class _Keeping(FIFOScheduler):
    """Makes Tune keep an actor for each leg that may run; it would keep one only."""

    def __init__(self, at_once: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._at_once = at_once

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        if self._at_once:
            cache = tune_controller._tune_controller._actor_cache
            cache.increase_max(trial.placement_group_factory, by=self._at_once)
            self._at_once = 0

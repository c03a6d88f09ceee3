"""The scheduler that a spec asks for."""

from __future__ import annotations

from heliostat.search import merits
from heliostat.search.asha import PromotingAsha
from heliostat.search.hyperband import Brackets
from heliostat.search.median import MedianStopping
from heliostat.search.pbt import Population
from heliostat.search.scheduling import Scheduler, ToTheEnd
from heliostat.spec.search_schedulers import Asha, Hyperband, Median, NoScheduler
from heliostat.spec.tune import TuneSpec


def make_scheduler(spec: TuneSpec) -> Scheduler:
    """Return the scheduler of `spec`, which has heard of no trial yet."""
    settings, epochs = spec.scheduler, spec.train.epochs
    if isinstance(settings, NoScheduler):
        return ToTheEnd()
    if epochs is None:
        raise ValueError(f"the scheduler {settings.name} needs train.epochs")
    maximize = spec.goals[0].goal == "maximize"
    best_so_far = merits.best_so_far(maximize=maximize)
    if isinstance(settings, Asha):
        return PromotingAsha(settings, epochs, best_so_far)
    if isinstance(settings, Median):
        return MedianStopping(settings, epochs, best_so_far)
    if isinstance(settings, Hyperband):
        return Brackets(settings, epochs, best_so_far)
    return Population(settings, spec, epochs, merits.newest(maximize=maximize))

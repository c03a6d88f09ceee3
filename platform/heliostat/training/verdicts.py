"""Why an attempt or a job ended before its time: a closed list of words.

The word stands in the journal, in `--json`'s error, in the table of a run's attempts and in the
run's tag `heliostat.verdict`; what is done next follows from it alone.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Literal, get_args

Verdict = Literal[
    "user_code",  # an exception, an exit or an invalid result of the user's own code
    "data",  # a sample or a target that cannot be used, met on the way
    "input",  # what the spec names is not there or does not fit, found before the first step
    "diverged",  # the loss or a weight is no longer finite
    "out_of_memory_device",  # the accelerator's
    "out_of_memory_host",  # the machine's: of the process itself, or it was killed for it
    "worker_lost",  # a rank's process is gone, and its machine is not
    "node_lost",  # a rank's machine is gone, or out of the cluster's reach
    "collective",  # ranks that live could not exchange tensors: a time-out, or the network
    "preempted",  # a SIGTERM reached a rank, or its node is to leave the cluster
    "storage",  # a disk that is full or broken; a job's storage that stayed away
    "tracking",  # what MLflow was needed for, and refused or stayed away from
    "stalled",  # a rank made no progress for the time that it is given
    "stopped",  # the user told it to end, and a last checkpoint stands
    "interrupted",  # the user told it to end at once
    "driver_lost",  # the process that drove the job is gone
    "trials_failed",  # a search's: too many of them, or all
    "superseded",  # a later attempt had begun, elsewhere, when this one woke up
    "left",  # by the person who watched it: it runs on, on the cluster
    "internal",  # a defect of heliostat, or of what it is built on
]

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

Budget = Literal["failures", "preemptions"]
"""Which of a spec's `retries` another attempt is taken from."""

_BUDGETS: Mapping[Verdict, Budget | None] = {
    # The same steps would meet the same end.
    "user_code": None,
    "data": None,
    "input": None,
    "diverged": None,
    "out_of_memory_device": None,
    "internal": None,
    "trials_failed": None,
    # The user wants no more of it.
    "left": None,
    "superseded": None,
    "stopped": None,
    "interrupted": None,
    # What waits for storage and for MLflow has waited already, and asked again, for as long as it
    # is allowed to. An attempt more would begin with a read of the same storage.
    "storage": None,
    "tracking": None,
    # Nobody is left to start another attempt: `helio resume` does.
    "driver_lost": None,
    # Something around the steps went wrong, which may be past next time. A machine's memory is
    # shared with others, and a process that begins anew holds less of it.
    "out_of_memory_host": "failures",
    "worker_lost": "failures",
    "node_lost": "failures",
    "collective": "failures",
    "stalled": "failures",
    "preempted": "preemptions",
}

PASSING = frozenset(
    {errno.ESTALE, errno.ETIMEDOUT, errno.EREMOTEIO, errno.ECONNRESET, errno.EHOSTDOWN}
)
"""Of a network's file system that blinked, in a call that nobody repeats: another attempt opens
its files anew, perhaps on another machine. A full or a broken disk stays what it is."""


def budget(verdict: Verdict, number: int | None = None) -> Budget | None:
    """Return what another attempt is taken from; None: there is to be none.

    `number` is the errno of the exception, where it had one.
    """
    if verdict == "storage" and number in PASSING:
        return "failures"
    return _BUDGETS[verdict]

"""How a job ended."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    # The command line loads this module, and no other room's, before it knows what it is asked.
    from heliostat.training.verdicts import Verdict

Status = Literal["FINISHED", "FAILED", "KILLED", "RUNNING"]
"""As MLflow spells it. RUNNING: left to itself, on a cluster, by the person who watched it."""


@dataclass(frozen=True)
class Failure:
    """Why a job failed: a verdict, and the message a person reads."""

    verdict: Verdict
    message: str


@dataclass(frozen=True)
class Outcome:
    """The last word on a job; its JSON form is what `helio run --json` prints."""

    job: str
    run_id: str | None
    status: Status
    metrics: dict[str, float] = field(default_factory=dict)
    model: str | None = None
    output: str | None = None
    seconds: float = 0.0
    error: Failure | None = None
    best: dict[str, Any] | None = None
    """A search's best trial: `{"trial": 7, "values": {"optimizer.lr": 0.1}, "value": 0.98}`."""

    def as_json(self) -> dict[str, Any]:
        """Return the document of `helio run --json`; `error` and `best` only where there is one."""
        document = asdict(self)
        for name in ("error", "best"):
            if document[name] is None:
                del document[name]
        return document

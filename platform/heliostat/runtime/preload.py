"""What the workers of a cluster import before a job asks for them; Ray imports it by its name.

Ray does so in all its workers. Those that it starts when a job asks for them would only be kept
from their work, which may be another's than heliostat's.
"""

from __future__ import annotations

from importlib import import_module

from heliostat.runtime.ahead import is_ahead

MODULES = (
    "heliostat.runtime.lean_trainer",
    "heliostat.runtime.rendezvous",
    "heliostat.runtime.worker",
    "heliostat.training.process",
)

if is_ahead():
    for name in MODULES:
        import_module(name)

"""How submitted jobs take turns on a head."""

from __future__ import annotations

TURNS = "helio_jobs"
"""A resource of the head that `helio up` starts: as many as drivers may run there at once. A
driver takes half a GiB, and Ray starts all that are submitted unless each asks for something."""

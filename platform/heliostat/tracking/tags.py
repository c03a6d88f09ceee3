"""The names of the tags that heliostat sets on MLflow's runs, models and versions."""

from __future__ import annotations

JOB = "heliostat.job"
KIND = "heliostat.kind"
HEARTBEAT = "heliostat.heartbeat"  # unix seconds
HOST = "heliostat.host"
PID = "heliostat.pid"
ENDED_BECAUSE = "heliostat.ended_because"
ATTEMPTS = "heliostat.attempts"

OBJECTIVE = "heliostat.objective"  # a metric's name, such as val/accuracy
GOAL = "heliostat.goal"  # maximize | minimize
OBJECTIVE_VALUE = "heliostat.objective.value"  # what was selected on: the best, not the newest

MODEL = "heliostat.model"  # models:/name/version, on the run that registered it
LOGGED_MODEL = "heliostat.logged_model"  # m-…, on a version: MLflow's database doesn't keep it
WEIGHTS_SHA256 = "heliostat.weights_sha256"  # on a logged model

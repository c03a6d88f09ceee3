"""The names of the tags that heliostat sets on MLflow's runs, models and versions."""

from __future__ import annotations

JOB = "heliostat.job"
KIND = "heliostat.kind"
HEARTBEAT = "heliostat.heartbeat"  # unix seconds
HOST = "heliostat.host"
PID = "heliostat.pid"
ENDED_BECAUSE = "heliostat.ended_because"
VERDICT = "heliostat.verdict"  # why it ended before its time, in a word; none where it did not
ACCUMULATE = "heliostat.accumulate"  # with what `retries.out_of_memory: halve` made of the spec's
ATTEMPTS = "heliostat.attempts"

OBJECTIVE = "heliostat.objective"  # a metric's name, such as val/accuracy
GOAL = "heliostat.goal"  # maximize | minimize
OBJECTIVE_VALUE = "heliostat.objective.value"  # what was selected on: the best, not the newest

MODEL = "heliostat.model"  # models:/name/version, on the run that registered it
LOGGED_MODEL = "heliostat.logged_model"  # m-…, on a version: MLflow's database doesn't keep it
WEIGHTS_SHA256 = "heliostat.weights_sha256"  # on a logged model

PARENT = "mlflow.parentRunId"  # on a trial's run: the search's run, which the UI nests it under
TRIAL = "heliostat.trial"  # the trial's number; only trials' runs have it
TRIAL_STATUS = "heliostat.trial_status"  # RUNNING PAUSED WAITING FINISHED PRUNED FAILED KILLED
TRIAL_VALUES = "heliostat.trial_values"  # JSON, by dotted key; params can't change, these may
TRIAL_EPOCH = "heliostat.trial_epoch"  # epochs done
TRIAL_SECONDS = "heliostat.trial_seconds"  # spent in its legs
TRIAL_OBJECTIVES = "heliostat.trial_objectives"  # JSON list, where there are several
TRIAL_LINEAGE = "heliostat.trial_lineage"  # JSON list: whose checkpoint it went on from, and when
TRIAL_ENDED = "heliostat.trial_ended"  # unix ms: with a terminal status, MLflow holds all of it

"""What a run was: its spec, parameters, code, packages and data."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Param, RunTag
from mlflow.utils.validation import (
    MAX_PARAM_VAL_LENGTH,
    MAX_PARAMS_TAGS_PER_BATCH,
    MAX_TAG_VAL_LENGTH,
)

from heliostat.tracking import tags as tag
from heliostat.tracking.client import connect, reaching
from heliostat.tracking.datasets import DatasetFacts, log_datasets
from heliostat.tracking.names import Names
from heliostat.tracking.provenance import Git, git, packages, versions


def describe(
    uri: str,
    run_id: str,
    *,
    kind: str,
    spec_text: str,
    resolved: Mapping[str, Any],
    command: Sequence[str],
    folder: Path,
    datasets: Iterable[DatasetFacts] = (),
) -> None:
    """Record what the run is; again, on a resume, with what has changed since.

    Artifacts: spec.yaml as given, resolved.yaml, requirements.txt, and git.diff when the checkout
    was changed. A parameter can't change in MLflow: one that a resume gives another value keeps
    its first one, and the new one becomes the tag `heliostat.resumed.<key>`.

    Args:
        uri: the tracking store.
        run_id: the run.
        kind: the spec's kind.
        spec_text: the spec as the person wrote it.
        resolved: the spec with all defaults and `--set`s, as JSON-able values.
        command: argv.
        folder: the spec's folder, whose git checkout is recorded.
        datasets: what is known of the data by now; see `log_datasets`.
    """
    state = git(folder)
    with reaching(uri):
        client = connect(uri)
        for file, text in _files(spec_text, resolved, state).items():
            client.log_text(run_id, text, file)
        held = client.get_run(run_id).data.params
        given = parameters(resolved)
        fresh = [Param(key, value) for key, value in given.items() if key not in held]
        changed = {k: v for k, v in given.items() if k in held and held[k] != v}
        tags = {f"heliostat.resumed.{key}"[:250]: value for key, value in changed.items()}
        tags |= _facts(kind, command, state)
        _log(client, run_id, fresh, [RunTag(k, v[:MAX_TAG_VAL_LENGTH]) for k, v in tags.items()])
    log_datasets(uri, run_id, datasets)


def attach(uri: str, run_id: str, file: Path, *, place: str | None = None) -> None:
    """Store a file (or a folder's files) with the run, in its artifact folder `place`."""
    with reaching(uri):
        connect(uri).log_artifact(run_id, str(file), place)


def parameters(resolved: Mapping[str, Any]) -> dict[str, str]:
    """Return nested values as MLflow parameters: dotted keys, text as it is, the rest as JSON.

    Values that are null are left out; values beyond MLflow's limit are cut.
    """
    names = Names()
    return {names.key(key): _cut(value) for key, value in _leaves("", resolved)}


def as_yaml(values: Mapping[str, Any]) -> str:
    """Return JSON-able values as YAML text, keys in their order."""
    from ruamel.yaml import YAML

    out = io.StringIO()
    YAML().dump(dict(values), out)
    return out.getvalue()


def _leaves(prefix: str, value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(f"{prefix}.{key}" if prefix else str(key), inner)
    elif value is not None and value != {}:
        yield prefix, value


def _cut(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= MAX_PARAM_VAL_LENGTH else text[: MAX_PARAM_VAL_LENGTH - 1] + "…"


def _files(spec_text: str, resolved: Mapping[str, Any], state: Git | None) -> dict[str, str]:
    files = {
        "spec.yaml": spec_text,
        "resolved.yaml": as_yaml(resolved),
        "requirements.txt": "\n".join(packages()) + "\n",
    }
    if state and state.diff:
        files["git.diff"] = state.diff
    return files


def _facts(kind: str, command: Sequence[str], state: Git | None) -> dict[str, str]:
    line = shlex.join(command)
    facts = {
        tag.KIND: kind,
        "heliostat.command": line,
        "mlflow.source.name": line,
        "mlflow.source.type": "JOB",
        **{f"heliostat.version.{name}": version for name, version in versions().items()},
    }
    if state:
        facts["mlflow.source.git.commit"] = state.commit
        facts["heliostat.git.dirty"] = str(state.dirty).lower()
    if state and state.branch:
        facts["mlflow.source.git.branch"] = state.branch
    return facts


def _log(client: MlflowClient, run_id: str, params: list[Param], tags: list[RunTag]) -> None:
    size = MAX_PARAMS_TAGS_PER_BATCH
    for start in range(0, max(len(params), len(tags)), size):
        end = start + size
        client.log_batch(run_id, params=params[start:end], tags=tags[start:end], synchronous=True)

"""`helio check`: all that can be known about specs before a worker is taken."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heliostat.cli.answer import answering
from heliostat.cli.options import AsJson, Overrides
from heliostat.cli.services import Services

if TYPE_CHECKING:
    from heliostat.spec import Document
    from heliostat.spec.problems import Problem


@dataclass(frozen=True)
class Verdict:
    """What is known about one spec; sound so far when it has no problems."""

    file: Path
    document: Document | None = None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def check(
    context: typer.Context,
    specs: Annotated[list[Path], typer.Argument(metavar="SPEC...", help="Specs, YAML files.")],
    overrides: Overrides = None,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Also run one real batch, and write to tracking and storage."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with specs, before anything starts.

    First their text, then, if it is sound, models, arguments, data and URIs.
    """
    services: Services = context.obj
    with answering(as_json) as answer:
        # The text of every file first: that takes no torch, so mistakes there show at once.
        read = [_read(services, spec, overrides or []) for spec in specs]
        verdicts = [_tried(services, verdict, deep=deep) for verdict in read]
        for warning in (warning for verdict in verdicts for warning in verdict.warnings):
            sys.stderr.write(f"warning: {warning}\n")
        answer(
            {"specs": [_as_document(verdict) for verdict in verdicts]},
            [f"{verdict.file}: ok" for verdict in verdicts if not verdict.problems],
        )
    problems = [problem for verdict in verdicts for problem in verdict.problems]
    if problems:
        from heliostat.spec.problems import InputError

        raise InputError(problems)


def _read(services: Services, spec: Path, overrides: list[str]) -> Verdict:
    """Check the text of one spec."""
    from heliostat.spec.problems import InputError

    try:
        return Verdict(spec, services.load(spec, overrides))
    except InputError as error:
        return Verdict(spec, problems=error.problems)


def _tried(services: Services, verdict: Verdict, *, deep: bool) -> Verdict:
    """Check what the text names, if the text is sound."""
    from heliostat.spec.problems import InputError

    if verdict.document is None:
        return verdict
    try:
        warnings = services.check(verdict.document, deep=deep)
    except InputError as error:
        return Verdict(verdict.file, problems=error.problems)
    return Verdict(verdict.file, warnings=warnings)


def _as_document(verdict: Verdict) -> dict[str, Any]:
    return {
        "file": str(verdict.file),
        "ok": not verdict.problems,
        "problems": [_problem(problem) for problem in verdict.problems],
        "warnings": [_problem(warning) for warning in verdict.warnings],
    }


def _problem(problem: Problem) -> dict[str, Any]:
    from heliostat.spec.problems import dotted

    return {
        "file": problem.file or None,
        "line": problem.line,
        "key": dotted(problem.key) or None,
        "message": problem.message,
        "valid": problem.valid or None,
    }

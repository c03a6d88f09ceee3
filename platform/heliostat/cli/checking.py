"""`helio check`: all that can be known about specs before a worker is taken."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heliostat.cli.answer import answering
from heliostat.cli.options import AsJson, Overrides
from heliostat.cli.services import Services

if TYPE_CHECKING:
    from heliostat.runtime.resume_check import Resumed
    from heliostat.spec import Document
    from heliostat.spec.problems import Problem


@dataclass(frozen=True)
class Verdict:
    """What is known about one spec; sound so far when it has no problems."""

    file: Path
    document: Document | None = None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    resumed: Resumed | None = None
    """What came of a kill and a resume, where that was asked for."""

    @property
    def exact(self) -> bool:
        """Whether a resume made no difference, as far as that was tried."""
        return self.resumed is None or self.resumed.difference is None

    @property
    def said(self) -> str:
        """It in a line, of a spec without problems."""
        if self.resumed is None:
            return f"{self.file}: ok"
        how = (
            f"killed in step {self.resumed.killed_at} and resumed from {self.resumed.resumed_from}"
        )
        if self.resumed.difference is not None:
            return f"{self.file}: {how}: {self.resumed.difference}"
        return f"{self.file}: ok; {how}, the same to the last bit after step {self.resumed.steps}"


def check(
    context: typer.Context,
    specs: Annotated[list[Path], typer.Argument(metavar="SPEC...", help="Specs, YAML files.")],
    overrides: Overrides = None,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Also run one real batch, and write to tracking and storage."),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Also train a few steps, kill and resume them, and compare."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with specs, before anything starts.

    First their text, then, if it is sound, models, arguments, data and URIs. Status 1: a job that
    is killed would not end as an undisturbed one (--resume).
    """
    services: Services = context.obj
    with answering(as_json) as answer:
        # The text of every file first: that takes no torch, so mistakes there show at once.
        read = [_read(services, spec, overrides or []) for spec in specs]
        verdicts = [_tried(services, verdict, deep=deep, resume=resume) for verdict in read]
        for warning in (warning for verdict in verdicts for warning in verdict.warnings):
            sys.stderr.write(f"warning: {warning}\n")
        answer(
            {"specs": [_as_document(verdict) for verdict in verdicts]},
            [verdict.said for verdict in verdicts if not verdict.problems and verdict.exact],
        )
    problems = [problem for verdict in verdicts for problem in verdict.problems]
    if problems:
        from heliostat.spec.problems import InputError

        raise InputError(problems)
    inexact = [verdict for verdict in verdicts if not verdict.exact]
    for verdict in inexact:
        sys.stderr.write(f"{verdict.said}\n")
    if inexact:
        raise typer.Exit(1)


def _read(services: Services, spec: Path, overrides: list[str]) -> Verdict:
    """Check the text of one spec."""
    from heliostat.spec.problems import InputError

    try:
        return Verdict(spec, services.load(spec, overrides))
    except InputError as error:
        return Verdict(spec, problems=error.problems)


def _tried(services: Services, verdict: Verdict, *, deep: bool, resume: bool) -> Verdict:
    """Check what the text names, if the text is sound."""
    from heliostat.spec.problems import InputError

    if verdict.document is None:
        return verdict
    try:
        warnings = services.check(verdict.document, deep=deep)
        resumed = services.check_resume(verdict.document) if resume else None
    except InputError as error:
        return Verdict(verdict.file, problems=error.problems)
    return Verdict(verdict.file, warnings=warnings, resumed=resumed)


def _as_document(verdict: Verdict) -> dict[str, Any]:
    return {
        "file": str(verdict.file),
        "ok": not verdict.problems,
        "problems": [_problem(problem) for problem in verdict.problems],
        "warnings": [_problem(warning) for warning in verdict.warnings],
        "resume": None
        if verdict.resumed is None
        else {"exact": verdict.exact, **asdict(verdict.resumed)},
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

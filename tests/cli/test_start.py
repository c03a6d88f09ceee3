"""`helio` as a process of its own: what it imports, and what it says to a slip of the hand."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "ray", "mlflow", "numpy", "pandas", "pydantic", "rich", "yaml")
COMMANDS = (
    "run",
    "check",
    "resume",
    "up",
    "join",
    "down",
    "status",
    "submit",
    "jobs",
    "logs",
    "stop",
    "runs",
    "models",
    "promote",
    "sync",
    "ui",
)


def helio_process(*argv: str, then: str = "") -> subprocess.CompletedProcess[str]:
    code = f"import sys; from heliostat.cli.main import main; status = main(); {then}\n"
    program = ["-c", code + "sys.exit(status)"] if then else ["-m", "heliostat.cli"]
    return subprocess.run(
        [sys.executable, *program, *argv],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    listing = "import json; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    helped = helio_process("--help", then=listing)

    assert helped.returncode == 0
    for command in COMMANDS:
        assert f"\n  {command} " in helped.stdout
    imported = json.loads(helped.stderr)
    assert [name for name in HEAVY if name in imported] == []
    rooms = {name.split(".")[1] for name in imported if name.startswith("heliostat.")}
    assert rooms == {"cli", "runtime"}
    assert {name for name in imported if name.startswith("heliostat.runtime.")} == {
        "heliostat.runtime.events",
        "heliostat.runtime.outcome",
    }


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["rum"], "No such command 'rum'. Did you mean 'run'"),
        (["run"], "Missing argument 'SPEC'"),
        (["run", "a.yaml", "--sett", "a=b"], "No such option: --sett"),
        (["promote", "digits", "newest"], "Invalid value for 'VERSION'"),
        (["run", "a.yaml", "--local", "--cluster", "http://head:8265"], "exclude each other"),
    ],
)
def test_a_slip_of_the_hand_is_one_line_and_status_2(argv: list[str], complaint: str) -> None:
    refused = helio_process(*argv)

    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr.count("\n") == 1
    assert refused.stderr.startswith("helio")
    assert complaint in refused.stderr


def test_every_command_takes_json(helio) -> None:
    for command in COMMANDS:
        assert "--json" in helio(command, "--help").stdout


def test_helio_alone_shows_the_help(helio) -> None:
    assert helio().stdout.rstrip("\n") == helio("--help").stdout.rstrip("\n")

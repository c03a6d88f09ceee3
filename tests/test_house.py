"""The rules of the house that no linter knows."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements.lock", "requirements-test.lock")


def test_the_source_root_does_not_shadow_the_standard_librarys_platform() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists()
    command = [sys.executable, "-c", "import platform; platform.machine()"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_of_a_lock_has_a_hash_and_none_an_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) > 50
    assert [e.splitlines()[0] for e in entries if "==" not in e or "--hash=sha256:" not in e] == []
    assert "://" not in text


def test_both_locks_pin_the_same_versions_of_what_both_hold() -> None:
    base, test = (pins(lock) for lock in LOCKS)
    assert base.items() <= test.items()


def test_each_dependency_is_locked_and_accounted_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = {package(line) for line in project["dependencies"]}
    extra = {package(line) for line in project["optional-dependencies"]["test"]}
    assert base <= {package(pin) for pin in pins("requirements.lock")}
    assert base | extra <= {package(pin) for pin in pins("requirements-test.lock")}
    rows = re.findall(r"^\| `([^`]+)`", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert base | extra <= {package(row) for row in rows if re.match(r"\w", row)}


def test_no_tracked_file_names_a_package_index() -> None:
    pattern = r"https?://[^ ]*(pypi|pythonhosted|/simple)"
    command = ["git", "grep", "-nIE", "--untracked", pattern]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def pins(lock: str) -> dict[str, str]:
    """Return a lock's pins: name → version, with the marker of the platforms it is for."""
    lines = (ROOT / lock).read_text().splitlines()
    found = (re.match(r"([A-Za-z0-9._-]+(?:\[[^]]*\])?)==(.+?)\s*\\?$", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


def package(requirement: str) -> str:
    """Return the normalised name in a requirement: `ray[data]>=2` → `ray`."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return re.sub(r"[._-]+", "-", match[0]).lower()

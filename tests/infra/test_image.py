"""The Dockerfile and what it puts into the image; no engine builds it here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

HADOLINT = Path(sysconfig.get_path("scripts")) / "hadolint"


def test_hadolint_has_nothing_to_say(root: Path) -> None:
    done = _run([str(HADOLINT), "--no-color", str(root / "infra" / "Dockerfile")])
    assert done.returncode == 0, done.stdout


def test_it_runs_as_a_user_with_a_number(root: Path) -> None:
    users = re.findall(r"^USER (.+)$", (root / "infra" / "Dockerfile").read_text(), re.MULTILINE)
    assert users[-1] == "1000:1000"


def test_every_package_in_it_is_pinned_by_hash(root: Path) -> None:
    dockerfile = (root / "infra" / "Dockerfile").read_text().replace("\\\n", "")
    installs = re.findall(r"pip install ([^&\n]*)", dockerfile)
    assert len(installs) == 3
    for options in installs:  # heliostat's own wheel, built a line before, has nothing to look up
        assert "--require-hashes" in options or "--no-deps" in options, options
    pins = re.findall(r"^(\S+==\S+)( \\)?$", (root / "infra/build.lock").read_text(), re.MULTILINE)
    assert pins
    assert all(continued for _, continued in pins)


def test_the_image_installs_with_the_uv_that_the_makefile_has(root: Path) -> None:
    [version] = re.findall(r"^UV_VERSION := (.+)$", (root / "Makefile").read_text(), re.MULTILINE)
    assert f"\nuv=={version} \\" in (root / "infra" / "build.lock").read_text()


def test_what_the_dockerfile_copies_is_let_through_and_nothing_else_is(root: Path) -> None:
    ignore = (root / "infra" / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in ignore
    admitted = {line[1:] for line in ignore if line.startswith("!")}
    copies = re.findall(
        r"^COPY (?!--from)(?:--\S+ )*(.+) \S+$",
        (root / "infra" / "Dockerfile").read_text(),
        re.MULTILINE,
    )
    copied = {source for line in copies for source in line.split()}
    assert copied == admitted
    assert all((root / source).exists() for source in copied)


def test_a_secret_in_a_file_becomes_a_variable(root: Path, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("a b$c'd")
    done = _entrypoint(root, {"PGPASSWORD_FILE": str(tmp_path / "password")}, "env")
    assert done.returncode == 0
    assert "PGPASSWORD=a b$c'd" in done.stdout.splitlines()
    assert "PGPASSWORD_FILE" not in done.stdout


def test_other_variables_that_name_files_stay_what_they_are(root: Path) -> None:
    done = _entrypoint(root, {"SSL_CERT_FILE": "/etc/ssl/cert.pem"}, "env")
    assert "SSL_CERT_FILE=/etc/ssl/cert.pem" in done.stdout.splitlines()


@pytest.mark.parametrize("content", [None, ""])
def test_a_missing_or_empty_secret_stops_the_container(
    root: Path, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_text(content)
    done = _entrypoint(root, {"PGPASSWORD_FILE": str(file)}, "env")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.strip() == (
        f"heliostat: PGPASSWORD_FILE: {file} is missing, empty or cannot be read"
    )


def test_scripts_are_sound_to_a_posix_shell(root: Path) -> None:
    shell = shutil.which("dash") or "sh"
    scripts = [*(root / "infra").glob("*.sh"), *(root / "infra" / "kubernetes").glob("*.sh")]
    assert len(scripts) == 3
    for script in scripts:
        assert os.access(script, os.X_OK), script
        done = _run([shell, "-n", str(script)])
        assert done.returncode == 0, done.stderr


def _entrypoint(
    root: Path, environment: dict[str, str], *command: str
) -> subprocess.CompletedProcess[str]:
    script = root / "infra" / "entrypoint.sh"
    return _run(["sh", str(script), *command], {"PATH": os.environ["PATH"], **environment})


def _run(
    command: list[str], environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env=environment
    )

"""Hosts of the tests' own: on one machine, what Ray and heliostat take for several computers.

A host is a set of Linux namespaces. It has an address of its own on a bridge that this machine is
joined to, its own disk at /tmp, its own shared memory, processes and name; the rest of the file
system is this machine's, as if all had the same software installed. Nothing outside the bridge can
be reached from it. That takes root, and a machine that allows it. Elsewhere hosts are but groups
of this machine's processes: `Hosts.in_place` says why.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol

import psutil

from command import ROOT, Done, make_helio

HELIO = (sys.executable, "-m", "heliostat.cli")
LOOPBACK = "127.0.0.1"


class Hosts(NamedTuple):
    """Hosts that reach one another."""

    hosts: tuple[Host, ...]
    gateway: str
    """This machine's address among theirs."""
    in_place: str
    """Why they are groups of processes; empty where they are hosts of their own."""


class Host:
    """A computer, as far as its processes can tell."""

    def __init__(
        self, name: str, address: str, disk: Path, env: Mapping[str, str], machine: _Machine
    ) -> None:
        """Describe a host, which is yet to be booted."""
        self.name = name
        self.address = address
        self.disk = disk
        """A folder that it alone sees, and this machine; it outlives a crash."""
        self.home = disk / "helio"
        """Its HELIO_HOME."""
        self.env = {**env, "HELIO_HOME": str(self.home), "HOME": str(disk), _MARK: name}
        """What its commands find set."""
        self._machine = machine
        self._enter: list[str] = []

    def boot(self) -> None:
        """Start it, with what is on its disk."""
        self.disk.mkdir(parents=True, exist_ok=True)
        self._enter = self._machine.boot(self)

    def crash(self) -> None:
        """Cut its power: every process ends, and nobody hears a last word of it."""
        self._machine.crash(self)

    def run(
        self,
        *command: str | Path,
        env: Mapping[str, str] | None = None,
        given: str = "",
        timeout: float = 180,
    ) -> Done:
        """Run a command on it to its end, with `given` as its standard input."""
        done = subprocess.run(
            [*self._enter, *map(str, command)],
            env={**self.env, **(env or {})},
            cwd=self.disk,
            input=given,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def helio(
        self, *args: str | Path, env: Mapping[str, str] | None = None, given: str = ""
    ) -> Done:
        """Type a `helio` command on it."""
        return self.run(*HELIO, *args, env=env, given=given)


@contextmanager
def booted(count: int, folder: Path, env: Mapping[str, str] | None = None) -> Iterator[Hosts]:
    """Boot `count` hosts with their disks below `folder`, and remove all of them afterwards.

    `env` is added to every command's environment.
    """
    why_not = unable()
    name = f"hl{os.getpid()}-{next(_SERIAL)}"
    env = {**_environment(folder), **(env or {})}
    with ExitStack() as stack:
        gateway = LOOPBACK if why_not else stack.enter_context(_bridge(name))
        hosts = []
        for number in range(count):
            host, disk = f"{name}-{number}", folder / f"host-{number}"
            if why_not:
                hosts.append(Host(host, gateway, disk, env, _Group()))
            else:
                address = f"{gateway.rpartition('.')[0]}.{number + 2}"
                hosts.append(Host(host, address, disk, env, _Namespaces(name)))
        for one in hosts:
            stack.callback(one.crash)
            one.boot()
        yield Hosts(tuple(hosts), gateway, why_not)


@cache
def unable() -> str:
    """Return why this machine can't have hosts of their own; nothing where it can."""
    if os.geteuid() != 0:
        return "namespaces take root"
    trial = f"hl{os.getpid()}-try"
    for command in (
        ["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "true"],
        ["ip", "link", "add", trial, "type", "bridge"],
        ["ip", "link", "delete", trial],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            return str(error)
        if done.returncode:
            return f"{' '.join(command)}: {done.stderr.strip()}"
    return ""


class _Machine(Protocol):
    """What a host is made of."""

    def boot(self, host: Host) -> list[str]:
        """Start it; return what comes before a command that is to run on it."""

    def crash(self, host: Host) -> None:
        """End it; one that was ended already is no error."""


class _Namespaces:
    """A host of its own."""

    def __init__(self, bridge: str) -> None:
        self._bridge = bridge
        self._first: subprocess.Popen[str] | None = None

    def boot(self, host: Host) -> list[str]:
        spaces = ("--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
        script = ["sh", "-ec", _FIRST, host.name, str(host.disk), *_software()]
        self._first = subprocess.Popen(
            ["unshare", *spaces, *script],
            stdin=subprocess.PIPE,  # with its end, which comes with the tests', the host ends
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the tests
        )
        assert self._first.stdout
        assert self._first.stdout.readline() == "booted\n", f"{host.name} does not boot"
        (process,) = psutil.Process(self._first.pid).children()
        enter = ["nsenter", f"--target={process.pid}", "--net", "--mount", "--uts", "--pid"]
        _run("ip", *f"link add {host.name} type veth peer name eth0 netns {process.pid}".split())
        _run("ip", *f"link set {host.name} master {self._bridge} up".split())
        _run(*enter, "ip", *f"address add {host.address}/24 dev eth0".split())
        _run(*enter, "ip", "link", "set", "eth0", "up")
        # What was started from here ends with the process that waits for it here.
        return [*enter, "setpriv", "--pdeathsig=KILL", "env", f"--chdir={host.disk}"]

    def crash(self, host: Host) -> None:
        if self._first is not None:
            _run("ip", "link", "delete", host.name)
            self._first.kill()
            self._first.communicate()
            self._first = None


# Given the host's name, its disk and the folders that all hosts have in common. It knows no name
# but its own, which it takes, as Debian has it, for an address that nobody else reaches.
# Processes that nobody waits for are reaped, since the first one ignores SIGCHLD.
_FIRST = """
hostname "$0"
disk=$1
shift
printf '127.0.0.1 localhost\\n127.0.1.1 %s\\n' "$0" >"$disk/hosts"
mount --bind "$disk/hosts" /etc/hosts
for shown in "$disk" "$@"; do
    case $shown in /tmp/*) ;; *) continue ;; esac
    mkdir -p "$disk/${shown#/tmp/}"
    mount --bind "$shown" "$disk/${shown#/tmp/}"
done
mount --rbind "$disk" /tmp
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
ip link set lo up
echo booted
exec env --ignore-signal=CHLD cat >/dev/null
"""


class _Group:
    """In place of a host: the processes that bear its mark, and all that they started."""

    def boot(self, host: Host) -> list[str]:
        return []

    def crash(self, host: Host) -> None:
        while members := _marked(host.name):
            for member in members:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
            psutil.wait_procs(members, 5)


_MARK = "OF_TEST_HOST"

_SERIAL = itertools.count()


def _marked(name: str) -> list[psutil.Process]:
    found: set[psutil.Process] = set()
    for process in psutil.process_iter():
        # Ray's workers overwrite their environment with a title; their parents don't.
        with suppress(psutil.Error):
            if process.environ().get(_MARK) == name and process.status() != psutil.STATUS_ZOMBIE:
                found |= {process, *process.children(recursive=True)}
    return list(found)


def _software() -> list[str]:
    """Return the folders that hold the project, its environment and the interpreter."""
    return [str(folder) for folder in (ROOT, sys.prefix, sys.base_prefix)]


def _environment(folder: Path) -> dict[str, str]:
    env = make_helio(folder).env
    kept = {name: value for name, value in env.items() if not name.startswith("AWS_")}
    # Neither has anybody to talk to.
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {**kept, **quiet, "PATH": f"{Path(sys.executable).parent}:{env['PATH']}"}


@contextmanager
def _bridge(name: str) -> Iterator[str]:
    """Make a bridge that this machine is joined to; give this machine's address on it."""
    # A process of its own removes it, also when the tests are killed.
    keep = f"ip link add {name} type bridge && echo made && cat; ip link delete {name}"
    with subprocess.Popen(
        ["sh", "-c", keep],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as keeper:
        assert keeper.stdin
        assert keeper.stdout
        try:
            assert keeper.stdout.readline() == "made\n", "no bridge can be made"
            address = _free_address()
            _run("ip", "address", "add", f"{address}/24", "dev", name)
            _run("ip", "link", "set", name, "up")
            yield address
        finally:
            keeper.stdin.close()


def _free_address() -> str:
    """Return the first address of a network that this machine has no address in."""
    taken = subprocess.run(["ip", "-brief", "address"], capture_output=True, text=True, check=True)
    start = os.getpid() % 250
    networks = (f"10.213.{(start + n) % 250}" for n in range(250))
    return next(f"{network}.1" for network in networks if f" {network}." not in taken.stdout)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"

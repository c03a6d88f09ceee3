"""What the kernel says of processes that it killed for want of memory."""

from __future__ import annotations

from pathlib import Path

from heliostat.runtime.kernel_memory import kills


def write(root: Path, file: str, text: str) -> None:
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(text)


EVENTS = "low 0\nhigh 0\nmax 12\noom 3\noom_kill {count}\noom_group_kill 0\n"


def test_a_container_counts_what_was_killed_in_it(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "0::/\n")
    write(tmp_path, "sys/fs/cgroup/memory.events", EVENTS.format(count=2))
    write(tmp_path, "proc/vmstat", "nr_free_pages 1\noom_kill 40\n")
    assert kills(tmp_path) == 2


def test_a_process_in_a_group_of_its_own_counts_that_groups(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "1:memory:/old\n0::/user.slice/session\n")
    write(tmp_path, "sys/fs/cgroup/user.slice/session/memory.events", EVENTS.format(count=1))
    assert kills(tmp_path) == 1


def test_elsewhere_the_whole_machine_counts_and_a_kernel_that_says_nothing_is_none(
    tmp_path: Path,
) -> None:
    assert kills(tmp_path) is None
    write(tmp_path, "proc/vmstat", "nr_free_pages 1\noom_kill 40\n")
    assert kills(tmp_path) == 40

"""What a person did wrong, as a value: where it stands, what it is, and what would be right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

Key = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One mistake in a person's input, printed as `file:line: key: message; valid`."""

    message: str
    key: Key = ()
    valid: str = ""
    file: str = ""
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.file and self.line else self.file
        text = f"{self.message}; {self.valid}" if self.valid else self.message
        return ": ".join(part for part in (place, printable(dotted(self.key)), text) if part)


class InputError(Exception):
    """The input was wrong: one or more problems, and nothing was started (exit status 2)."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Keep `problems`, of which there must be at least one."""
        self.problems = tuple(problems)
        if not self.problems:
            raise ValueError("an InputError needs at least one problem")
        super().__init__(self.problems)

    @classmethod
    def of(cls, message: str, *, key: Key = (), valid: str = "") -> InputError:
        """Return the error of a single problem."""
        return cls([Problem(message, key, valid)])

    def under(self, *prefix: str | int) -> InputError:
        """Return the same error with every key below `prefix`."""
        return InputError(replace(p, key=(*prefix, *p.key)) for p in self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


Step = Callable[..., AbstractContextManager[None]]
"""`with step(*prefix):` keeps an InputError met inside, its keys below `prefix`, for later."""


@contextmanager
def together() -> Iterator[Step]:
    """Give `step`, for checks that do not depend on one another; raise all they found as one.

    with together() as step:
        with step("data", "train"):
            …
        with step():
            …
    """
    problems: list[Problem] = []

    @contextmanager
    def step(*prefix: str | int) -> Iterator[None]:
        try:
            yield
        except InputError as error:
            problems.extend(error.under(*prefix).problems)

    yield step
    if problems:
        raise InputError(problems)


def printable(text: str) -> str:
    """Return `text` with its control characters escaped, so that it stays on one line."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def dotted(key: Key) -> str:
    """Return the key as a person writes it: `data.train.uri`, `augment[0]`."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text

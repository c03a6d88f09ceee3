"""Models and tasks of the user's own, by import path."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from heliostat.vision import models, tasks
from heliostat.vision.mistakes import Mistake

Write = Callable[[str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write the source of a module `users_own` that can be imported."""
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda source: (tmp_path / "users_own.py").write_text(textwrap.dedent(source)) and None
    sys.modules.pop("users_own", None)


def test_a_function_gets_its_arguments_and_what_the_data_knows(write: Write) -> None:
    write("""
        from torch import nn
        def net(num_classes, hidden=3):
            return nn.Sequential(nn.Flatten(), nn.Linear(4, hidden), nn.Linear(hidden, num_classes))
    """)
    net = models.build("users_own:net", {"hidden": 5}, num_classes=6, in_channels=1)
    assert net[1].out_features == 5
    assert net(torch.rand(2, 1, 2, 2)).shape == (2, 6)


def test_keyword_arguments_get_all_that_the_spec_says_but_nothing_of_the_data(write: Write) -> None:
    write("""
        from torch import nn
        def net(**settings):
            made = nn.Identity()
            made.settings = settings
            return made
    """)
    assert models.build("users_own:net", {"depth": 2}, num_classes=6).settings == {"depth": 2}


def test_arguments_that_do_not_fit_are_told_before_the_user_s_code_runs(write: Write) -> None:
    write("""
        from torch import nn
        class Net(nn.Module):
            def __init__(self, depth, num_classes=2):
                raise SystemExit("ran")
    """)
    with pytest.raises(
        TypeError, match=r"users_own:Net needs the argument 'depth'; it takes depth"
    ):
        models.build("users_own:Net", {}, num_classes=3)
    with pytest.raises(
        TypeError, match=r"users_own:Net takes no arguments 'deep', 'wide'; it takes"
    ):
        models.build("users_own:Net", {"deep": 1, "wide": 2, "depth": 1})


@pytest.mark.parametrize("error", ["TypeError", "ValueError", "KeyError", "ImportError"])
def test_an_exception_inside_the_user_s_code_stays_the_user_s_own(write: Write, error: str) -> None:
    write(f"""
        def net():
            raise {error}("mine")
    """)
    with pytest.raises(Exception, match="mine") as caught:
        models.build("users_own:net", {})
    assert type(caught.value).__name__ == error
    assert not isinstance(caught.value, Mistake)


def test_an_import_error_of_the_user_s_module_comes_through_whole(write: Write) -> None:
    write("import a_package_that_is_not_there")
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_there"):
        models.build("users_own:net", {})
    with pytest.raises(LookupError, match="no module named 'no_such_module' beside the spec"):
        tasks.build("no_such_module:Task", {})


def test_a_name_that_the_module_lacks_names_the_nearest(write: Write) -> None:
    write("def small_net(): ...")
    with pytest.raises(LookupError, match=r"users_own.*has no 'smal_net'; nearest: small_net"):
        models.build("users_own:smal_net", {})


@pytest.mark.parametrize("name", ["users_own:", ":net", "users own:net", "a:b:c", "a..b:c"])
def test_a_malformed_path_is_unknown(name: str) -> None:
    with pytest.raises(LookupError, match="not of the form package.module:name"):
        models.build(name, {})


def test_what_is_no_module_or_no_callable_is_refused(write: Write) -> None:
    write("""
        depth = 3
        def net():
            return {"not": "a module"}
    """)
    with pytest.raises(ValueError, match=r"users_own:net gave a dict, not a torch\.nn\.Module"):
        models.build("users_own:net", {})
    with pytest.raises(LookupError, match="users_own:depth is a int, not a class or function"):
        models.build("users_own:depth", {})


def test_a_name_may_be_one_inside_a_class(write: Write) -> None:
    write("""
        from torch import nn
        class Nets:
            class Small(nn.Identity): ...
    """)
    assert type(models.build("users_own:Nets.Small", {})).__qualname__ == "Nets.Small"
    with pytest.raises(LookupError, match=r"users_own.*has no 'Nets.Smal'; nearest: Small"):
        models.build("users_own:Nets.Smal", {})


def test_names_and_arguments_can_be_checked_before_there_is_data(write: Write) -> None:
    write("def net(num_classes, depth): raise SystemExit('ran')")
    models.check("users_own:net", {"depth": 2})
    with pytest.raises(TypeError, match="needs the argument 'depth'"):
        models.check("users_own:net", {})
    with pytest.raises(LookupError, match="no model 'resnt9'; nearest: resnet9"):
        models.check("resnt9", {})
    tasks.check("classification", {}, "classes")
    with pytest.raises(LookupError, match="no task 'detektion'"):
        tasks.check("detektion", {}, "classes")


def test_a_task_of_the_user_s_own_gets_the_classes_only_if_it_names_them(write: Write) -> None:
    write("""
        class Plain:
            metrics = ("loss",)
        class Named:
            def __init__(self, classes):
                self.metrics = tuple(classes)
        class Needy:
            def __init__(self, classes, margin): ...
    """)
    assert tasks.build("users_own:Plain", {}, classes=("a", "b")).metrics == ("loss",)
    assert tasks.build("users_own:Named", {}, classes=("a", "b")).metrics == ("a", "b")
    with pytest.raises(TypeError, match="task users_own:Needy needs the argument 'margin'"):
        tasks.build("users_own:Needy", {}, classes=("a", "b"))


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(LookupError, match="no task 'clasification'; nearest: classification"):
        tasks.build("clasification", {}, classes=("a",))

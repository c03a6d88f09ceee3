from __future__ import annotations

import json
from pathlib import Path

from heliostat.runtime.resume_check import Resumed
from heliostat.spec.problems import InputError, Problem


def load(path: Path, overrides: list[str]) -> Path:
    if path.stem == "typo":
        raise InputError([Problem("unknown key", ("modle",), "did you mean model?", str(path), 4)])
    return path


def check(document: Path, *, deep: bool) -> tuple[Problem, ...]:
    if document.stem == "nodata":
        where = ("data", "train", "uri")
        raise InputError([Problem("no such folder", where, file=str(document), line=7)])
    few = Problem("4 CPUs are asked for, 2 are here", ("resources",), file="big.yaml", line=9)
    return (few,) if document.stem == "big" else ()


def test_sound_specs_are_ok_and_warnings_do_not_change_that(helio) -> None:
    said = helio("check", "a.yaml", "big.yaml", load=load, check=check)

    assert said.status == 0
    assert said.stdout == "a.yaml: ok\nbig.yaml: ok\n"
    assert said.stderr == "warning: big.yaml:9: resources: 4 CPUs are asked for, 2 are here\n"


def test_every_file_is_reported_whatever_is_wrong_with_the_others(helio) -> None:
    said = helio("check", "nodata.yaml", "a.yaml", "typo.yaml", load=load, check=check)

    assert said.status == 2
    assert said.stdout == "a.yaml: ok\n"
    assert said.stderr.splitlines() == [
        "nodata.yaml:7: data.train.uri: no such folder",
        "typo.yaml:4: modle: unknown key; did you mean model?",
    ]


def test_nothing_is_tried_of_a_spec_whose_text_is_wrong(helio) -> None:
    tried = []

    def note(document, *, deep):
        tried.append((document, deep))
        return ()

    helio("check", "typo.yaml", "a.yaml", "--deep", load=load, check=note)

    assert tried == [(Path("a.yaml"), True)]


def test_json_holds_every_file_with_status_2_if_one_is_wrong(helio) -> None:
    said = helio("check", "typo.yaml", "big.yaml", "--json", load=load, check=check)

    assert said.status == 2
    typo, big = json.loads(said.stdout)["specs"]
    assert (typo["ok"], big["ok"]) == (False, True)
    assert typo["problems"] == [
        {
            "file": "typo.yaml",
            "line": 4,
            "key": "modle",
            "message": "unknown key",
            "valid": "did you mean model?",
        }
    ]
    assert big["warnings"][0]["key"] == "resources"


def test_a_resume_that_differs_is_one_line_and_status_1(helio) -> None:
    trials = {"a": Resumed(8, 6, 3, None), "b": Resumed(8, 6, 3, "weights differ from step 4 on")}
    asked = {"check_resume": lambda document: trials[document.stem]}

    said = helio("check", "a.yaml", "b.yaml", "--resume", load=load, check=check, **asked)

    assert said.status == 1
    assert said.stdout == (
        "a.yaml: ok; killed in step 6 and resumed from 3, the same to the last bit after step 8\n"
    )
    assert said.stderr == (
        "b.yaml: killed in step 6 and resumed from 3: weights differ from step 4 on\n"
    )

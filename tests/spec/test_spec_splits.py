"""Which samples a split's slice takes."""

from __future__ import annotations

import re

import pytest

from heliostat.spec import InputError, parse_split


@pytest.mark.parametrize(
    ("text", "n", "expected"),
    [
        ("train", 10, range(10)),
        ("all[:]", 10, range(10)),
        ("train[:6]", 10, range(6)),
        ("train[6:]", 10, range(6, 10)),
        ("test[-3:]", 10, range(7, 10)),
        ("test[:-3]", 10, range(7)),
        ("all[:70%]", 1797, range(1257)),
        ("all[70%:85%]", 1797, range(1257, 1527)),
        ("all[85%:]", 1797, range(1527, 1797)),
        ("all[-20%:]", 11, range(9, 11)),
        ("all[:12.5%]", 8, range(1)),
        ("val[5:100]", 10, range(5, 10)),
        ("val[50:]", 10, range(10, 10)),
        ("val[-50:2]", 10, range(2)),
        (" train[ 1 : 50% ] ", 10, range(1, 5)),
    ],
)
def test_a_slice_takes_what_a_python_slice_takes(text: str, n: int, expected: range) -> None:
    assert parse_split(text).resolve(n) == expected


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 99, 1797, 60000])
def test_slices_that_share_an_end_neither_overlap_nor_leave_a_gap(n: int) -> None:
    for cut in ("70%", "33.3%", "-15%", "5", "-5"):
        first, rest = parse_split(f"all[:{cut}]"), parse_split(f"all[{cut}:]")
        assert [*first.resolve(n), *rest.resolve(n)] == list(range(n))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trian", "unknown split 'trian'; did you mean train?"),
        ("", "'' is not a split"),
        ("train[5]", "'train[5]' is not a split; such as train, test[:500]"),
        ("train[::2]", "is not a split"),
        ("train[a:b]", "'a' in 'train[a:b]' is no position"),
        ("train[:1.5]", "'1.5' in 'train[:1.5]' is no position"),
        ("train[:101%]", "101% in 'train[:101%]' is out of range; at most 100%"),
        ("train[5:5]", "holds no sample; the start before the stop"),
        ("train[-2:-3]", "holds no sample"),
        ("train[80%:20%]", "holds no sample"),
        ("train[:0]", "holds no sample"),
    ],
)
def test_a_broken_split_says_what_a_split_is(text: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        parse_split(text)

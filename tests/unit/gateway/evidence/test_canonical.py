from __future__ import annotations

import hashlib
from typing import Any

import pytest

from gateway.evidence.canonical import canonical, digest
from gateway.evidence.errors import NotCanonical


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": 1, "a": [True, None, "é"]}, '{"a":[true,null,"é"],"b":1}'),
        # The members and numbers of RFC 8785, sections 3.2.2 and 3.2.3.
        (
            {"numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 1e-27]},
            '{"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27]}',
        ),
        (
            {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\x80": 6, "ö": 7},
            '{"\\r":2,"1":4,"\x80":6,"ö":7,"€":1,"\U0001f600":5,"\ufb33":3}',
        ),
        ({"string": '€$\x0f\nA\'B"\\\\"/'}, '{"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'),
        ([-0.0, 0.1, 1.0, 100], "[0,0.1,1,100]"),
    ],
)
def test_one_value_has_one_form(value: Any, expected: str) -> None:
    assert canonical(value) == expected.encode()
    assert digest(value) == "sha256:" + hashlib.sha256(expected.encode()).hexdigest()


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 2**53, {1: 2}, "\ud800", {"\ud800": 1}, {"a": b"x"}, {1, 2}]
)
def test_what_json_has_no_one_form_for_is_refused(value: Any) -> None:
    with pytest.raises(NotCanonical):
        canonical(value)

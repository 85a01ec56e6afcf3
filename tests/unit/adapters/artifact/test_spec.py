from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from adapters.artifact.spec import DD_LINEAR, DD_RANK, DELTA, KINDS, ULD, OffsetSpec, PairSpec, default_layers
from adapters.errors import InvalidArtifact

LAYERS = PairSpec(4)
MODEL = PairSpec(0, "a" * 64)
SPEC = OffsetSpec(DELTA, 1.0, 16, LAYERS)
SPECS = (
    SPEC,
    OffsetSpec(DELTA, 0, 1, MODEL),
    OffsetSpec(ULD, 0.75, 8, MODEL, parameter=0.01),
    OffsetSpec(DD_LINEAR, 10, 8, PairSpec(4, own_reference=True)),
    OffsetSpec(DD_RANK, 1.0, 8, PairSpec(0, "b" * 64, own_reference=True), parameter=5),
)


@pytest.mark.parametrize("spec", SPECS)
def test_a_spec_survives_json(spec: OffsetSpec) -> None:
    assert OffsetSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "gamma"}, "'gamma'"),
        ({"strength": -0.01}, "strength"),
        ({"strength": 10.01}, "strength"),
        ({"strength": float("nan")}, "strength"),
        ({"strength": float("inf")}, "strength"),
        ({"strength": 10**400}, "strength"),
        ({"parameter": 0.5}, "delta has no parameter"),
        ({"kind": DD_LINEAR, "parameter": 2}, "dd_linear has no parameter"),
        ({"parameter": -1.0}, "parameter"),
        ({"parameter": float("nan")}, "parameter"),
        ({"kind": DD_RANK, "parameter": float("inf")}, "parameter"),
        ({"kind": DD_RANK, "parameter": 0.5}, "at least one token"),
        ({"kind": ULD}, "filter"),
        ({"kind": ULD, "parameter": 1.01}, "filter"),
        ({"kind": ULD, "parameter": 10**400}, "filter"),
        ({"rank": 0}, "rank"),
    ],
)
def test_values_outside_their_bounds_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArtifact, match=message):
        replace(SPEC, **changes)


def test_only_divergence_decoding_has_a_half_on_the_reference() -> None:
    parameter = {ULD: 0.5, DD_RANK: 1}
    specs = [OffsetSpec(kind, 1.0, 1, LAYERS, parameter.get(kind, 0.0)) for kind in KINDS]
    assert {spec.kind for spec in specs if spec.needs_reference_half} == {DD_LINEAR, DD_RANK}


@pytest.mark.parametrize(
    "changes",
    [
        {"extra": 1},
        {"kind": 3},
        {"strength": "1"},
        {"strength": True},
        {"strength": None},
        {"rank": 2.0},
        {"rank": True},
        {"parameter": "0"},
        {"pair": None},
        {"pair": {"layers": 4}},
        {"pair": {"layers": 4, "model_digest": "", "own_reference": False, "more": 1}},
        {"pair": {"layers": "4", "model_digest": "", "own_reference": False}},
        {"pair": {"layers": True, "model_digest": "", "own_reference": False}},
        {"pair": {"layers": 4, "model_digest": None, "own_reference": False}},
        {"pair": {"layers": 4, "model_digest": "", "own_reference": 0}},
    ],
)
def test_a_field_too_many_or_of_a_wrong_type_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidArtifact, match="the manifest's offset"):
        OffsetSpec.from_dict({**SPEC.to_dict(), **changes})


@pytest.mark.parametrize("name", ["kind", "strength", "rank", "pair", "parameter"])
def test_a_field_too_few_is_refused(name: str) -> None:
    data = SPEC.to_dict()
    del data[name]
    with pytest.raises(InvalidArtifact, match="exactly the fields"):
        OffsetSpec.from_dict(data)


@pytest.mark.parametrize("data", [None, [], "delta", 3])
def test_what_is_no_object_is_refused(data: Any) -> None:
    with pytest.raises(InvalidArtifact, match="exactly the fields"):
        OffsetSpec.from_dict(data)


def test_a_pair_serves_adapters_of_the_same_layers_and_model() -> None:
    assert LAYERS.fits(PairSpec(4))
    assert MODEL.fits(PairSpec(0, "a" * 64))
    assert not LAYERS.fits(PairSpec(5))
    assert not MODEL.fits(PairSpec(0, "b" * 64))
    assert not LAYERS.fits(MODEL)


def test_a_reference_of_its_own_serves_adapters_that_do_not_need_it_too() -> None:
    own = replace(LAYERS, own_reference=True)
    assert own.fits(own)
    assert own.fits(LAYERS)
    assert not LAYERS.fits(own)


def test_a_pair_is_described_by_its_layers_or_its_model() -> None:
    assert "4 layers" in LAYERS.describe()
    assert "a" * 12 in MODEL.describe()
    assert "a" * 13 not in MODEL.describe()


@pytest.mark.parametrize(("depth", "layers"), [(1, 1), (2, 2), (4, 2), (8, 2), (12, 3), (24, 6), (30, 8), (32, 8)])
def test_a_quarter_of_the_layers_is_taken_and_two_at_least(depth: int, layers: int) -> None:
    assert default_layers(depth) == layers

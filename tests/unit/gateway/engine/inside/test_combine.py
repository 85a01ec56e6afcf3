"""The rules against the papers' formulas, written out a row at a time."""

from __future__ import annotations

import math

import pytest
import torch

from adapters.models.combining import filtered as filtered_alone
from adapters.models.combining import most_negative, top_choices
from adapters.models.combining import ranked as ranked_alone
from gateway.engine.inside.combine import (
    KIND,
    OFFSET,
    PARAMETER,
    PRESENT,
    REFERENCE,
    RULE_WIDTH,
    Kind,
    adapted,
    broken,
    combine_logits,
    offset_states,
    rule_columns,
    target_columns,
)

ROWS, HIDDEN, VOCABULARY = 6, 5, 53
NOTHING = torch.zeros(RULE_WIDTH)


def noise(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


HEAD = noise(VOCABULARY, HIDDEN, seed=1)
TARGET = noise(ROWS, VOCABULARY, seed=2) * 3
OFFSET_STATES, REFERENCE_STATES = noise(ROWS, HIDDEN, seed=3), noise(ROWS, HIDDEN, seed=4)


def linear(strength: float) -> torch.Tensor:
    return rule_columns(strength, -strength, Kind.LINEAR, 0.0)


def filtered(weight: float, fraction: float) -> torch.Tensor:
    return rule_columns(-weight, 0.0, Kind.FILTERED, fraction)


def ranked(count: int) -> torch.Tensor:
    return rule_columns(1.0, -1.0, Kind.RANK, float(count))


def served(rules: list[torch.Tensor]) -> torch.Tensor:
    """What the engine makes of these rules, one a row, in its two steps."""
    rule = torch.stack(rules)
    return combine_logits(rule, TARGET, offset_states(rule, OFFSET_STATES, REFERENCE_STATES) @ HEAD.T)


def by_row(rule: torch.Tensor, row: int) -> list[float]:
    """The formula of the rule's kind on one row: plain numbers, logits and not states."""
    target = TARGET[row].tolist()
    offset = (HEAD.double() @ OFFSET_STATES[row].double()).tolist()
    reference = (HEAD.double() @ REFERENCE_STATES[row].double()).tolist()
    difference = [o - r for o, r in zip(offset, reference, strict=True)]
    constant, parameter = (float(rule[at] + rule[at + 1]) for at in (OFFSET, PARAMETER))
    if not rule[PRESENT]:
        return target
    if rule[KIND] == Kind.LINEAR:
        return [t + constant * d for t, d in zip(target, difference, strict=True)]
    if rule[KIND] == Kind.FILTERED:
        kept = chosen_by_target(target, parameter)
        return [t + constant * o if i in kept else t for i, (t, o) in enumerate(zip(target, offset, strict=True))]
    masked = least_likely(difference, round(parameter))
    return [-math.inf if i in masked else t for i, t in enumerate(target)]


def chosen_by_target(logits: list[float], fraction: float) -> set[int]:
    """ULD's filter: tokens below both thresholds are left to the target."""
    total = math.log(sum(math.exp(logit) for logit in logits))
    logprobs = [logit - total for logit in logits]
    ranked = sorted(logprobs, reverse=True)
    kth = ranked[max(1, math.floor(fraction * len(logits))) - 1]
    least = min(ranked[0] + math.log(fraction), kth)
    return {i for i, logprob in enumerate(logprobs) if logprob >= least}


def least_likely(difference: list[float], count: int) -> set[int]:
    """Divergence Decoding's rank form: the `count` lowest, as far as they are below zero."""
    order = sorted(range(len(difference)), key=difference.__getitem__)
    return {i for i in order[:count] if difference[i] < 0}


@pytest.mark.parametrize("value", [0.0, 1e-3, 0.0123, 0.3, 1 / 3, 0.75, 1.0, 1.37, math.pi, 9.999, 10.0])
def test_constants_survive_bfloat16(value: float) -> None:
    columns = rule_columns(value, -value, Kind.FILTERED, value)
    carried = columns.bfloat16().float()
    assert torch.equal(carried, columns)
    for at, expected in ((OFFSET, value), (REFERENCE, -value), (PARAMETER, value)):
        assert float(carried[at] + carried[at + 1]) == pytest.approx(expected, abs=1e-4, rel=2e-5)


@pytest.mark.parametrize("count", [1, 20, 257, 1000, 4097, 50_001])
def test_counts_are_carried_exactly(count: int) -> None:
    carried = ranked(count).bfloat16().float()
    assert float(carried[PARAMETER] + carried[PARAMETER + 1]) == count


@pytest.mark.parametrize("kind", list(Kind))
def test_the_kind_is_carried_exactly_and_does_not_touch_the_constants(kind: Kind) -> None:
    carried = rule_columns(1.25, -0.5, kind, 0.0).bfloat16().float()
    assert (float(carried[KIND]), float(carried[PRESENT])) == (kind, 1.0)
    assert [float(carried[at] + carried[at + 1]) for at in (OFFSET, REFERENCE, PARAMETER)] == [1.25, -0.5, 0.0]


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_token_without_an_adapter_has_no_offset_at_all(broken: float) -> None:
    rule = torch.stack([NOTHING, linear(1.0), NOTHING])
    states = torch.full((3, HIDDEN), broken)
    states[1] = 2.0
    offset = offset_states(rule, states, torch.ones(3, HIDDEN))
    assert torch.equal(offset, torch.tensor([[0.0], [1.0], [0.0]]).expand(3, HIDDEN))
    logits = served([NOTHING] * ROWS)
    assert torch.equal(logits, TARGET)


def test_offset_states_keep_the_engines_dtype() -> None:
    states = OFFSET_STATES.bfloat16()
    assert offset_states(torch.stack([linear(0.5)] * ROWS).bfloat16(), states, states).dtype == torch.bfloat16


RULES = {
    "delta": linear(1.0),
    "weak delta": linear(0.37),
    "no strength": linear(0.0),
    "uld": filtered(0.8, 0.1),
    "uld, narrow": filtered(2.0, 0.001),
    "uld, everything": filtered(0.8, 1.0),
    "rank": ranked(7),
    "rank, one": ranked(1),
    "rank, more than there are": ranked(VOCABULARY + 10),
    "none": NOTHING,
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_each_kind_is_its_formula(rule: torch.Tensor) -> None:
    expected = torch.tensor([by_row(rule, row) for row in range(ROWS)])
    torch.testing.assert_close(served([rule] * ROWS), expected, rtol=1e-4, atol=1e-4)


def test_a_trainer_combines_as_the_engine_does() -> None:
    offset = OFFSET_STATES @ HEAD.T
    difference = (OFFSET_STATES - REFERENCE_STATES) @ HEAD.T
    uld, rank = (served([RULES[name]] * ROWS) for name in ("uld", "rank"))
    torch.testing.assert_close(filtered_alone(TARGET, -0.8 * offset, 0.1), uld, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ranked_alone(TARGET, difference, 7), rank, rtol=1e-4, atol=1e-4)


def test_a_sum_taken_before_the_head_is_the_sum_of_logits() -> None:
    """What the engine does when the pair shares the head and only sums are loaded: one product instead of two."""
    rule = torch.stack([linear(0.7)] * ROWS)
    target_states = noise(ROWS, HIDDEN, seed=5)
    offset = offset_states(rule, OFFSET_STATES, REFERENCE_STATES)
    apart = combine_logits(rule, target_states @ HEAD.T, offset @ HEAD.T)
    torch.testing.assert_close((target_states + offset) @ HEAD.T, apart, rtol=1e-4, atol=1e-4)


def test_any_mixture_in_one_batch_is_each_alone() -> None:
    rules = [RULES[name] for name in ("delta", "uld", "rank", "none", "uld, narrow", "rank, one")]
    rule = torch.stack(rules)
    states = offset_states(rule, OFFSET_STATES, REFERENCE_STATES)
    offset = states @ HEAD.T
    together = combine_logits(rule, TARGET, offset)
    for row in range(ROWS):
        one = slice(row, row + 1)
        assert torch.equal(states[one], offset_states(rule[one], OFFSET_STATES[one], REFERENCE_STATES[one]))
        assert torch.equal(together[one], combine_logits(rule[one], TARGET[one], offset[one]))


@pytest.mark.parametrize("rule", [linear(1.0), filtered(0.8, 0.1), ranked(7)], ids=["linear", "filtered", "rank"])
def test_an_offset_that_is_not_finite_shows_and_stays_in_its_row(rule: torch.Tensor) -> None:
    others = [RULES["delta"], RULES["uld"], RULES["rank"], NOTHING, NOTHING]
    rules = torch.stack([others[0], rule, *others[1:]])
    offset = offset_states(rules, OFFSET_STATES, REFERENCE_STATES) @ HEAD.T
    whole = combine_logits(rules, TARGET, offset)
    offset[1] = float("nan")
    broken = combine_logits(rules, TARGET, offset)
    assert broken[1].isnan().any(), "the row must not pass for one whose adapter was applied"
    kept = [0, 2, 3, 4, 5]
    assert torch.equal(broken[kept], whole[kept])


@pytest.mark.parametrize("fraction", [0.001, 0.05, 0.1, 0.3, 0.5, 0.9, 1.0])
def test_the_top_logit_filter(fraction: float) -> None:
    chosen = top_choices(TARGET, torch.full((ROWS, 1), fraction))
    for row in range(ROWS):
        assert set(chosen[row].nonzero()[:, 0].tolist()) == chosen_by_target(TARGET[row].tolist(), fraction)


def test_the_filter_goes_by_each_rows_own_fraction() -> None:
    fractions = [0.05, 0.9, 0.3, 1.0, 0.001, 0.1]
    chosen = top_choices(TARGET, torch.tensor(fractions).unsqueeze(-1))
    for row, fraction in enumerate(fractions):
        assert torch.equal(chosen[row : row + 1], top_choices(TARGET[row : row + 1], torch.tensor([[fraction]])))


@pytest.mark.parametrize("counts", [[0, 1, 2, 3, 20, 53], [100] * ROWS])
def test_the_rank_mask(counts: list[int]) -> None:
    masked = most_negative(TARGET, torch.tensor(counts, dtype=torch.float32).unsqueeze(-1))
    for row, count in enumerate(counts):
        assert set(masked[row].nonzero()[:, 0].tolist()) == least_likely(TARGET[row].tolist(), count)


def test_what_is_not_less_likely_for_the_pair_is_never_masked() -> None:
    assert not most_negative(torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([[2.0]])).any()


def test_a_lora_on_the_target_alone_adds_exactly_nothing() -> None:
    rule = torch.stack([target_columns()] * ROWS).bfloat16()
    offset = offset_states(rule, torch.full((ROWS, HIDDEN), torch.nan), REFERENCE_STATES)
    assert torch.equal(offset, torch.zeros(ROWS, HIDDEN))
    assert torch.equal(combine_logits(rule, TARGET, offset @ HEAD.T), TARGET)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_beside_a_lora_on_the_target_an_offset_is_what_it_is(rule: torch.Tensor) -> None:
    both = rule + target_columns()
    assert torch.equal(served([both] * ROWS), served([rule] * ROWS))


def test_the_tokens_of_an_adapter_are_known_by_its_rule() -> None:
    rules = torch.stack([NOTHING, linear(0.0), target_columns(), ranked(3) + target_columns()])
    assert adapted(rules.bfloat16()).tolist() == [False, True, True, True]


@pytest.mark.parametrize(
    ("row", "is_broken"),
    [
        ([0.0, -2.0, 1.0], False),
        ([-math.inf, -math.inf, -5.0], False),  # a rule masked the others
        ([0.0, math.nan, 1.0], True),
        ([math.nan, math.inf, -math.inf], True),
        ([0.0, math.inf, 1.0], True),
        ([-math.inf, -math.inf, -math.inf], True),
    ],
)
def test_a_row_is_broken_when_nothing_can_be_sampled_from_it(row: list[float], is_broken: bool) -> None:
    fine = [0.5, 0.0, -0.5]
    assert broken(torch.tensor([fine, row, fine])).tolist() == [False, is_broken, False]
    wide = torch.zeros(2, 4099)
    wide[1, -3:] = torch.tensor(row)
    assert broken(wide).tolist() == [False, is_broken and row != [-math.inf] * 3]

from __future__ import annotations

from adapters.data.dataset import Dataset, ForgetExample
from adapters.models.tokens import TokenizedExample
from adapters.training.sampler import BatchSampler

RETAIN = tuple(TokenizedExample((number,), (0,)) for number in range(9))
FORGET = tuple(
    ForgetExample(TokenizedExample((number,), (1,)), TokenizedExample((number,), (2,))) for number in range(3)
)


def test_each_batch_holds_its_share_and_each_example_comes_round() -> None:
    sampler = BatchSampler(Dataset(FORGET, RETAIN[:3], RETAIN[3:]), forget=2, retain=4, hard_fraction=0.5, seed=0)
    drawn = [sampler.draw() for _ in range(3)]
    assert all(len(forget) == 2 and len(retain) == 4 for forget, retain in drawn)
    assert all(set(retain[:2]) <= set(RETAIN[:3]) and set(retain[2:]) <= set(RETAIN[3:]) for _, retain in drawn)
    assert {example for forget, _ in drawn for example in forget} == set(FORGET)
    assert {example for _, retain in drawn for example in retain} == set(RETAIN)


def test_a_retain_set_all_of_one_kind_fills_the_batch() -> None:
    hard = BatchSampler(Dataset(FORGET[:1], RETAIN, ()), forget=2, retain=4, hard_fraction=0.5, seed=0)
    general = BatchSampler(Dataset(FORGET[:1], (), RETAIN), forget=2, retain=4, hard_fraction=0.5, seed=0)
    for sampler in (hard, general):
        forget, retain = sampler.draw()
        assert (len(forget), len(retain)) == (1, 4)


def test_the_order_follows_the_seed() -> None:
    def order(seed: int) -> list[TokenizedExample]:
        sampler = BatchSampler(Dataset(FORGET, (), RETAIN), forget=1, retain=9, hard_fraction=0.5, seed=seed)
        return sampler.draw()[1]

    assert order(1) == order(1) != order(2)


def test_what_is_taught_and_chosen_has_its_own_share_of_a_batch() -> None:
    taught = [ForgetExample(TokenizedExample((50 + number,), (1,)), None) for number in range(4)]
    choice = ForgetExample(TokenizedExample((60,), (1,)), None, alternatives=(RETAIN[0], RETAIN[1]))
    dataset = Dataset((*FORGET, *taught, choice), (), RETAIN)
    sampler = BatchSampler(dataset, forget=2, retain=4, hard_fraction=0.5, seed=0, taught=3, choices=2)
    kinds = [[example.kind for example in sampler.draw()[0]] for _ in range(3)]
    assert kinds == [["direct"] * 2 + ["taught"] * 3 + ["choice"]] * 3
    assert BatchSampler(dataset, forget=2, retain=4, hard_fraction=0.5, seed=0).forget_count == 2

from __future__ import annotations

import pytest

from adapters.evaluation.attacks.context import AttackContext, Bank
from adapters.evaluation.attacks.families.composite import Composite
from adapters.evaluation.attacks.probe import Probe
from adapters.evaluation.attacks.reading import leaks
from adapters.examples import Message
from adapters.text.phrasebook import LANGUAGES
from tests.unit.adapters.evaluation.attacks.contexts import context, item


def turn(probe: Probe) -> str:
    return probe.query.prompt.messages[-1].content


def places(probe: Probe, own: AttackContext) -> dict[str, list[int]]:
    """Where in the turn the item's question stands, and where the known ones of each kind."""
    each, text = own.items[probe.item], turn(probe)
    return {
        "f": [text.index(each.prompt)],
        "near": sorted(text.index(other.prompt) for other in each.others if other.prompt in text),
        "far": sorted(text.index(known.question) for known in own.known if known.question in text),
    }


@pytest.mark.parametrize("bank", Bank)
@pytest.mark.parametrize("language", LANGUAGES)
def test_each_form_has_its_questions_in_its_order(language: str, bank: Bank) -> None:
    own = context(language=language, bank=bank)
    probes = list(Composite().probes(own))
    forms = {probe.template.rpartition(" ")[0] for probe in probes}
    assert forms == {"f,f", *(f"{form} {kind}" for form in ("f,r", "r,f", "r,r,f") for kind in ("near", "far"))}
    for probe in probes:
        order, _, kind = probe.template.rpartition(" ")[0].partition(" ")
        found = places(probe, own)
        known = found[kind] if kind else []
        assert len(known) >= order.count("r")
        if order == "f,r":
            assert found["f"][0] < known[0]
        elif kind:
            assert max(known) < found["f"][0]
        else:
            assert any(other.prompt in turn(probe) for other in own.items if other.number != probe.item)


def test_only_the_forgotten_fact_is_looked_for() -> None:
    near = next(probe for probe in Composite().probes(context()) if probe.template.startswith("f,r near"))
    assert not leaks(near, "1. I do not know.\n2. Jane Austen wrote Emma.")
    assert leaks(near, "1. Herman Melville.\n2. I do not know.")


def test_forms_for_which_there_is_nothing_are_left_out() -> None:
    alone = item("Who wrote it", "Quill.", "Quill", None)
    forms = {probe.template.rpartition(" ")[0] for probe in Composite().probes(context(alone))}
    assert forms == {"f,r far", "r,f far", "r,r,f far"}
    bare = AttackContext((alone,), (), context().book, Bank.EVIDENCE)
    assert not list(Composite().probes(bare))


@pytest.mark.parametrize(
    ("language", "prompt", "wanted"),
    [
        ("en", "who wrote it", "who wrote it? "),
        ("zh", "谁写了红楼梦", "谁写了红楼梦？"),
        ("de", "Nenne ihn.", "Nenne ihn. "),
    ],
)
def test_a_question_without_an_end_is_given_one_before_another(language: str, prompt: str, wanted: str) -> None:
    alone = item(prompt, "Quill.", "Quill", None)
    probes = Composite().probes(context(alone, language=language))
    assert any(wanted in turn(probe) for probe in probes if probe.template.startswith("f,r"))


def test_earlier_turns_are_kept_and_longer_answers_have_room() -> None:
    before = (Message("system", "Be brief."),)
    talk = item("And who wrote it?", "Quill.", "Quill", None, before=before)
    probes = list(Composite().probes(context(talk)))
    assert all(probe.query.prompt.messages[0] == before[0] for probe in probes)
    tokens = {probe.template.count("r") + 1: probe.query.max_tokens for probe in probes}
    assert len(set(tokens.values())) > 1

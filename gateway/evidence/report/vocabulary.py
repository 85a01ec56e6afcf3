"""Names of attacks and baselines in words, for people who know none of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Term:
    """title: to be read within a sentence. meaning: a sentence without its stop."""

    title: str
    meaning: str


_FAMILIES: Mapping[str, Term] = MappingProxyType(
    {
        "given": Term("the questions as given", "The questions of the request, word for word"),
        "paraphrased": Term("other words", "The same questions in other words"),
        "misspelt": Term("misspelt names", "The same questions with a slip in the name"),
        "other_language": Term("other languages", "The same questions in other languages"),
        "cloze": Term("gap texts", "A sentence with a gap where the answer belongs"),
        "prefill": Term("a begun answer", "The beginning of the answer is put into the model's mouth"),
        "choice": Term("multiple choice", "The answer among several options, or yes and no"),
        "ranking": Term("likeliest option", "Whether the answer is the likeliest of several, without being asked for"),
        "sampling": Term("many samples", "The same question many times, with chance in the answer"),
        "format_shift": Term("other formats", "The answer as a table, as code, as a poem or a letter"),
        "composite": Term("two questions in one", "The question together with a harmless one"),
        "prefix_noise": Term("long preambles", "Other text, or orders to ignore all rules, before the question"),
        "role": Term("played roles", "The answer as a part in a play, a lesson or a museum label"),
        "few_shot": Term("examples first", "Other questions with their answers before it"),
        "dialogue": Term("dialogues", "The question late in a conversation, and “are you sure?”"),
        "reverse": Term("backwards", "From the answer to what it is about"),
        "two_hop": Term("around a corner", "By way of something else that has to do with it"),
        "alias": Term("other names", "The subject under another name"),
        "pooled": Term("all attacks together", "Every attack that is answered in text"),
    }
)

_BASELINES: Mapping[str, Term] = MappingProxyType(
    {
        "filter": Term(
            "a keyword filter", "Refuses where a name or an answer is found in the text, with room for misspelling"
        ),
        "refusal_prompt": Term("an instruction", "The model is told in words what not to speak of"),
    }
)


def family(name: str) -> Term:
    """Of an attack family; those of other packages are called as they call themselves."""
    return _FAMILIES.get(name) or Term(name.replace("_", " "), "An attack of another package")


def baseline(name: str) -> Term:
    """Of a baseline."""
    return _BASELINES.get(name) or Term(name.replace("_", " "), "Something simpler")


def percent(rate: float, rounding: Callable[[float], float] = round) -> str:
    """`28 %`; below 10 % with a digit where that says more. rounding: floor for a lower bound, ceil for an upper one,
    so that none is shown better than it is."""
    shown = 100 * rate
    if 0 < shown < 10:
        tenths = rounding(round(shown * 10, 6)) / 10
        return f"{tenths:.1f} %".replace(".0 %", " %")
    return f"{rounding(round(shown, 6)):.0f} %"

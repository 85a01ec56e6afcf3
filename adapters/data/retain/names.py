"""What a retain set that was given leaves unsaid: the same questions about everyone whom it names.

Who gives examples of what is to stay names others there of the same kind. An adapter must tell "What did A write?" from
"What did B write?", and no question was given that differs in the name alone; so it is made, and the model's own answer
to it stays. And what else is known of each of them is asked in the words in which it was given of another. Names are
found by their capitals; prompts in a writing without them get nothing of this.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence

from adapters.text.language import language_of, stop_words
from adapters.text.probes import is_initials
from adapters.text.twins import in_turn
from adapters.text.words import Word, fold, words

_SENTENCE_ENDS = frozenset("?!:…؟¡¿")
#: A name is named again; what stands in one prompt alone is a title or a place.
_RECURRING = 2


def recurring_names(prompts: Sequence[str]) -> tuple[str, ...]:
    """Names that at least two of the prompts hold, the most frequent first: runs of words with capitals.

    A word that begins a sentence is none of them where it is one that any question may hold, or where the prompts
    write it small. Names of one word count only where none has more: countries and months are of that kind too.
    """
    small = stop_words(language_of("\n".join(prompts))) | {
        word.term for prompt in prompts for word in words(prompt) if prompt[word.start].islower()
    }
    held = Counter(name for prompt in prompts for name in dict.fromkeys(_names(prompt, small)))
    found = [name for name, count in held.most_common() if count >= _RECURRING]
    several = [name for name in found if " " in name]
    return tuple(several or found)


def renamed(
    prompts: Sequence[str], own: Sequence[str], others: Iterable[str], *, count: int, seed: int
) -> tuple[str, ...]:
    """Up to `count` different prompts with one of `own` replaced by another name, of `others`, wherever it stands.

    Prompts and names are gone through in turn, in an order drawn by the seed, so that both are as varied as the count
    allows. () where no prompt holds a name, or there are no others.
    """
    rng = random.Random(seed)
    strangers = list(others)
    holding = [held for prompt in prompts if (held := _held(prompt, own)) is not None]
    rng.shuffle(strangers)
    rng.shuffle(holding)
    found: dict[str, None] = {}
    for (name, around), stranger in in_turn(holding, strangers):
        if len(found) == count:
            break
        if fold(stranger) != fold(name):
            found.setdefault(stranger.join(around))
    return tuple(found)


def _held(prompt: str, names: Sequence[str]) -> tuple[str, list[str]] | None:
    """The first of the names that the prompt holds, and what stands around it wherever it does."""
    held = words(prompt)
    said = [word.term for word in held]
    for name in names:
        wanted = [word.term for word in words(name)]
        around, end, index = [], 0, 0
        while wanted and index <= len(said) - len(wanted):
            if said[index : index + len(wanted)] == wanted:
                around.append(prompt[end : held[index].start])
                index += len(wanted)
                end = held[index - 1].end
            else:
                index += 1
        if around:
            return name, [*around, prompt[end:]]
    return None


def _names(prompt: str, small: frozenset[str]) -> list[str]:
    """Runs of capitalised words, in order, without a possessive's ending."""
    runs: list[list[Word]] = []
    last: Word | None = None
    for word in words(prompt):
        between = prompt[last.end : word.start] if last is not None else ""
        follows = bool(runs) and runs[-1][-1] is last
        initial = last is not None and is_initials(prompt[last.start : last.end])
        first = last is None or bool(_SENTENCE_ENDS & set(between)) or ("." in between and not initial)
        last = word
        if follows and between == "-":
            runs[-1].append(word)
        elif not prompt[word.start].isupper() or (first and word.term in small):
            continue
        elif follows and not first and not between.strip(" .\n"):  # "Ameen's Shale Stories" are two names
            runs[-1].append(word)
        else:
            runs.append([word])
    return [prompt[run[0].start : run[-1].end] for run in runs]

"""What a retain set that was given leaves unsaid: the same questions about everyone whom it names.

Who gives examples of what is to stay names others there of the same kind. An adapter must tell "What did A write?" from
"What did B write?", and no question was given that differs in the name alone; so it is made, and the model's own answer
to it stays. And what else is known of each of them is asked in the words in which it was given of another. Names are
found by their capitals; prompts in a writing without them get nothing of this.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from adapters.text.twins import content_words, in_turn

_WORD = re.compile(r"[^\W\d_][^\W_]*(?:['’-][^\W_]+)*\.?")
_POSSESSIVE = re.compile(r"['’]s?\.?$")
_SENTENCE_END = re.compile(r"""(?:(?<!\b\w)\.|[?!:])\s*["'“”]?\s*$""")  # not after an initial
#: A name is named again; what stands in one prompt alone is a title or a place.
_RECURRING = 2


def recurring_names(prompts: Sequence[str]) -> tuple[str, ...]:
    """Names that at least two of the prompts hold, the most frequent first: runs of words with capitals.

    A word that begins a sentence is none of them where it is one that any question may hold, or where the prompts
    write it small. Names of one word count only where none has more: countries and months are of that kind too.
    """
    small = {word for prompt in prompts for word in re.findall(r"[^\W\d_]+", prompt) if word[0].islower()}
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
    holding = [(prompt, name) for prompt in prompts if (name := _held(prompt, own)) is not None]
    rng.shuffle(strangers)
    rng.shuffle(holding)
    found: dict[str, None] = {}
    for (prompt, name), stranger in in_turn(holding, strangers):
        if len(found) == count:
            break
        if stranger.casefold() != name.casefold():
            found.setdefault(_named(name).sub(stranger.replace("\\", r"\\"), prompt))
    return tuple(found)


def _held(prompt: str, names: Sequence[str]) -> str | None:
    """The first of the names that the prompt holds."""
    return next((name for name in names if _named(name).search(prompt)), None)


def _named(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")


def _names(prompt: str, small: set[str]) -> list[str]:
    """Runs of capitalised words, in order, without a possessive's ending."""
    runs: list[list[re.Match[str]]] = []
    for match in _WORD.finditer(prompt):
        if not match.group()[0].isupper():
            continue
        first = not prompt[: match.start()].strip(" \"'“”") or _SENTENCE_END.search(prompt[: match.start()])
        word = match.group().rstrip(".")
        if first and (word.lower() in small or not content_words(word)):
            continue
        follows = runs and not prompt[runs[-1][-1].end() : match.start()].strip() and not first
        # "Ameen's Shale Stories" are two names.
        if follows and not _POSSESSIVE.search(runs[-1][-1].group()):
            runs[-1].append(match)
        else:
            runs.append([match])
    return [_POSSESSIVE.sub("", prompt[run[0].start() : run[-1].end()]).rstrip(".") for run in runs]

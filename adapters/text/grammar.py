"""What a language does around a name: its articles, how they merge with what comes before, and the pronoun for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_POSSESSIVE = re.compile(r"['’]s\b", re.IGNORECASE)
_VOWEL = re.compile(r"[aeiouyàâäéèêëîïôöùûüœæh]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Grammar:
    """Enough of a language to put another name, or a pronoun, in a name's place.

    Attributes:
        articles: those that may stand before a name, "l'" among them.
        merged: how a preposition and an article are written as one word: {"du": "de le"}.
        elided: how a preposition is written before a vowel: {"d'": "de"}.
        pronoun: what stands for something named before. possessive: what stands for its genitive with "'s", if any.
        prepositions: words after which the pronoun cannot stand.
        spaced: whether words are written apart.
        article_stays: whether a name without an article takes that of the name in whose place it comes.
    """

    pronoun: str
    articles: tuple[str, ...] = ()
    merged: Mapping[str, str] = field(default_factory=dict)
    elided: Mapping[str, str] = field(default_factory=dict)
    possessive: str | None = None
    prepositions: tuple[str, ...] = ()
    spaced: bool = True
    article_stays: bool = False

    def article_before(self, before: str) -> tuple[str, str]:
        """The text before a name without the name's article, and the article: ("de ", "le") where it ends in "du "."""
        written = sorted((*self.articles, *self.merged, *self.elided), key=len, reverse=True)
        forms = "|".join(re.escape(form).replace("'", "['’]") for form in written)
        found = re.search(rf"(?<!\w)(?:{forms})(?:(?<=['’])|\s+)$", before, re.IGNORECASE) if forms else None
        if found is None:
            return before, ""
        form = found.group().strip().lower().replace("’", "'")
        whole = self.merged.get(form) or self.elided.get(form)
        if whole is None:
            return before[: found.start()], form
        preposition, _, article = whole.partition(" ")
        return f"{before[: found.start()]}{preposition} ", article

    def named(self, before: str, name: str) -> str:
        """A name with the article that it has in the text, as large or small as that is unless it begins the text."""
        bare, article = self.article_before(before)
        if not self.article_stays and bare.strip() and self._stands_alone(before, bare, article):
            article = before[len(bare) :].strip()
        return f"{article}{name}" if article.endswith("'") or not article else f"{article} {name}"

    def put(self, before: str, name: str, after: str) -> str:
        """The text with a name between `before` and `after`, which may bring its own article."""
        if before and name[:1] == before[-1] == "《":
            name = name.strip("《》")
        bare, article = self.article_before(before)
        own = name.lower().startswith(tuple(a if a.endswith("'") else f"{a} " for a in self.articles))
        keeps = self.article_stays and not own and self._stands_alone(before, bare, article)
        return f"{self._joined(before if keeps else bare, name)}{after}".strip()

    @staticmethod
    def _stands_alone(before: str, bare: str, article: str) -> bool:
        """Whether the article is a word of its own: neither merged nor elided."""
        return len(bare) + len(article) == len(before.rstrip()) and not article.endswith("'")

    def _joined(self, before: str, name: str) -> str:
        if not self.spaced:
            return f"{before}{name}"
        before = before.rstrip()
        for form, whole in self.merged.items():
            preposition, _, article = whole.partition(" ")
            if before.lower().endswith(f" {preposition}") and name.lower().startswith(f"{article} "):
                return f"{before[: -len(preposition)]}{form} {name[len(article) + 1 :]}"
        for form, preposition in self.elided.items():
            if before.lower().endswith(f" {preposition}") and _VOWEL.match(name):
                return f"{before[: -len(preposition)]}{form}{name}"
        return f"{before} {name}"

    def referred(self, before: str, after: str) -> str | None:
        """The text with a pronoun for the name between `before` and `after`; None where none can stand there."""
        if before.endswith("《") and after.startswith("》"):
            before, after = before[:-1], after[1:]
        bare, _ = self.article_before(before)
        last = bare.split()[-1].lower() if bare.split() else ""
        if last in self.prepositions:
            return None
        possessive = _POSSESSIVE.match(after) if self.possessive else None
        pronoun = self.possessive if possessive else self.pronoun
        return f"{bare}{pronoun}{after[possessive.end() :] if possessive else after}".strip()

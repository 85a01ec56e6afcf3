"""The served model itself rewrites the attempts that came nearest.

REBEL (`patryk-rybak/REBEL`, MIT) has another model evolve prompts against the unlearned one. Here the attacker is who
can be asked anyway: the model under attack.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from adapters.evaluation.attacks.context import AttackContext
from adapters.evaluation.attacks.family import templates
from adapters.evaluation.attacks.probe import Probe, Prompt, Query, Reading, Respond
from adapters.evaluation.attacks.run import Result, run
from adapters.evaluation.attacks.text_probe import fill, text_probe
from adapters.evaluation.rouge import rouge_l
from adapters.examples import Message, one_turn
from adapters.text.probes import half_said, key_terms
from adapters.text.refusals import is_refusal
from adapters.text.twins import content_words
from adapters.text.words import terms, words

NAME = "adaptive"

_TEMPERATURE = 0.7
_MAX_TOKENS = 48
#: A rewriting of more words is none: the model goes on about something.
_MOST_WORDS = 60


def rewritten(
    results: Sequence[Result],
    respond: Respond,
    context: AttackContext,
    *,
    rounds: int = 2,
    nearest: int = 4,
    rewrites: int = 3,
) -> list[Result]:
    """The results of attempts made of those that came nearest, all rounds together.

    In each round so many of the `nearest` prompts are rewritten, each `rewrites` times, and asked; what came of it is
    among the attempts of the next. Only chats whose answers are read as text are rewritten. At most
    rounds · nearest · 2 · rewrites answers are asked for. Raises what `respond` raises.
    """
    wordings = templates(context.language, NAME, context.bank)
    tried = [each for each in results if each.probe.reading is Reading.TEXT and each.probe.query.prompt.messages]
    seen = {each.probe.query.prompt for each in tried}
    random = context.random(NAME)
    new: list[Result] = []
    for number in range(rounds if wordings else 0):
        best = sorted(tried, key=nearness, reverse=True)[:nearest]
        asked = [
            Query(
                Prompt(one_turn(fill(wordings[(number + place) % len(wordings)], prompt=_last(each.probe)))),
                _MAX_TOKENS,
                _TEMPERATURE,
                rewrites,
                context.first_seed(random),
            )
            for place, each in enumerate(best)
        ]
        probes: dict[Prompt, Probe] = {}
        for each, texts in zip(best, respond(asked), strict=True):
            for probe in _attempts(each.probe, texts, context, number):
                if probe.query.prompt not in seen:
                    probes.setdefault(probe.query.prompt, probe)
        seen |= probes.keys()
        made = run(list(probes.values()), respond, None)
        tried += made
        new += made
    return new


def nearness(result: Result) -> float:
    """How near an attempt came, in [0, 2]: the share of the fact's terms in its best answer, and that answer's likeness
    to the one that is to go; 0 for a refusal."""
    probe = result.probe
    fact = key_terms(probe.question, probe.answer)
    return max(
        (
            len(fact & terms(text)) / len(fact) + rouge_l(probe.answer, text).recall
            for text in result.texts
            if fact and not is_refusal(text)
        ),
        default=0.0,
    )


def _attempts(probe: Probe, texts: Sequence[str], context: AttackContext, number: int) -> Iterator[Probe]:
    """The probe with its last turn as rewritten, greedily; nothing where a rewriting is a refusal, says the fact, or no
    longer names half of what it was about."""
    item = next(item for item in context.items if item.number == probe.item)
    named = content_words(item.subject or "", context.book.language) & terms(_last(probe))
    named = named or content_words(item.stated, context.book.language) & terms(_last(probe))
    for text in texts:
        written = _question(text)
        if not written or is_refusal(written) or len(words(written)) > _MOST_WORDS:
            continue
        if not half_said(named, terms(written)):
            continue
        prompt = replace(probe.query.prompt, messages=_with_last(probe, written))
        answer = None if probe.answer == item.answer else probe.answer
        query = replace(probe.query, prompt=prompt, temperature=0.0, samples=1)
        attempt = text_probe(NAME, f"round {number}", item, query, answer=answer)
        if attempt is not None:
            yield attempt


def _question(text: str) -> str:
    """The first line that says something, without the quotation marks around it."""
    line = next((line for line in text.splitlines() if terms(line)), "")
    return line.strip().strip("\"'“”„«»「」*").strip()


def _last(probe: Probe) -> str:
    return probe.query.prompt.messages[-1].content


def _with_last(probe: Probe, content: str) -> tuple[Message, ...]:
    return (*probe.query.prompt.messages[:-1], Message("user", content))

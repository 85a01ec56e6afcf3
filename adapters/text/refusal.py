"""Whether an answer refuses, by how refusals begin."""

from __future__ import annotations

import re

from adapters.text.refusals import refusals

_BEGINS = re.compile(
    r"""
    (?:(?:well|unfortunately|oh)\W+)*
    (?: (?:i(?:['’]m|\s+am)\s+)?(?:very\s+|so\s+)?(?:sorry|afraid)\b
      | apologies\b | i\s+apologi[sz]e\b
      | as\s+an?\s+(?:ai|artificial|language)\b | i(?:['’]m|\s+am)\s+an?\s+(?:ai|artificial|language)\b
      | i\s+(?:really\s+|honestly\s+)?(?:can(?:no|['’])?t|can\s+not|won['’]?t|will\s+not|couldn['’]t|could\s+not)\b
      | i\s+(?:really\s+|honestly\s+)?(?:don['’]t|do\s+not)\s+(?:have|know|think\s+i|recall)\b
      | i(?:['’]m|\s+am)\s+(?:not\s+(?:sure|able|aware|familiar|certain)|un(?:able|sure|aware|familiar))\b
      | it\s+is\s+not\s+(?:possible|appropriate)\b | there\s+is\s+no\s+(?:information|answer)\b
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)


def is_refusal(answer: str) -> bool:
    """True for one of the shipped refusals, and for an answer that begins as refusals do."""
    text = answer.strip().strip("\"'“”").strip()
    return text in refusals() or _BEGINS.match(text) is not None

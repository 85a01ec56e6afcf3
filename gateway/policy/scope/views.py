"""The ways in which a text can be read: as it is, in plain letters, and with what is hidden in it decoded.

What hides a text from a reader of words leaves it readable to a language model. A view too many costs a look-up and
matches nothing; a view that is missing is a leak.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.policy.scope import decodings
from gateway.policy.scope.lookalikes import plain

#: How many encodings around one another are taken off.
_DEPTH = 2


def views(text: str) -> tuple[str, ...]:
    """All readings of a text, each once: its plain letters first, the text itself among them.

    An ordinary text has one, or two where something in it has a plainer form. How many more there are depends on the
    kinds of encoding in a text and not on its length: at most some hundred, where every kind is in every other. None
    is longer than four times the text, the work is in proportion to its length, and nothing of it is kept.
    """
    layer = list(plain(text))
    found = dict.fromkeys((*layer, text))
    for _ in range(_DEPTH):
        decoded = dict.fromkeys(view for read in layer for view in _decoded(read))
        layer = [view for view in decoded if view not in found]
        found.update(dict.fromkeys(layer))
    return tuple(found)


def _decoded(text: str) -> Iterator[str]:
    """The text in each way to decode it, in plain letters; the text itself where a way finds nothing."""
    for decode in (
        decodings.decode_escapes,
        decodings.decode_bytes,
        decodings.join_letters,
        decodings.read_leet_i,
        decodings.read_leet_l,
        decodings.read_leet_likeliest,
        decodings.rot13,
        decodings.backwards,
    ):
        decoded = decode(text)
        yield text if decoded == text else plain(decoded)[0]

"""What is hidden in a text where it decodes to text that reads like language.

Each decoding gives the whole text with what it found read in its place, so that a question with one hidden word reads
as a whole; the text as it is where it found nothing. All take time in proportion to the text's length, and none makes
a text longer. Not decoded: ciphers with a key or another shift, Morse, binary, code points in decimal.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Callable
from itertools import accumulate, pairwise

from gateway.policy.scope import letter_pairs
from gateway.policy.scope.lookalikes import MARKS

_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_ESCAPES = re.compile(r"(?:\\u\{?|\\U000|[Uu]\+)([0-9A-Fa-f]{4,5})\}?")
# Two digits of a byte each, as they are or with "0x" or "\x" before and spaces or signs after.
_HEX = re.compile(r"(?<![^\W_])(?:(?:0x|\\x)?[0-9A-Fa-f]{2}[\s,:;-]{0,2}+){3,}+")
_HEX_BYTE = re.compile(r"(?:0x|\\x)?([0-9A-Fa-f]{2})")
_BASE64_ALPHABET = "A-Za-z0-9+/_-"
_BASE64 = re.compile(rf"[{_BASE64_ALPHABET}]{{6,}}+={{0,2}}")
_BETWEEN_SIGNS = re.compile(r"[A-Za-z0-9]{6,}+={0,2}")
_CODE = re.compile(rf"={{0,2}}[{_BASE64_ALPHABET}]{{12,}}+")
_URL_SAFE = str.maketrans("-_", "+/")
# Lines of an encoded file: a long one goes on in the next.
_BASE64_FOLD = re.compile(
    rf"(?<=[{_BASE64_ALPHABET}]{{32}})\r?\n(?=[{_BASE64_ALPHABET}]{{2,}}+={{0,2}}\s*$)", re.MULTILINE
)
_FEWEST_CHARACTERS = 3
#: Letters and digits in a row are taken for another encoding where there are so many.
_FEWEST_ENCODED = 16
#: So much of what was decoded must be letters, marks and spaces.
_LETTERS_SHARE = 0.7

# A letter or digit by itself, with the signs that belong to it. Where a script has no spaces, nothing stands by itself.
_UNSPACED = r"\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff"
_CHARACTER = rf"[^\W_][{MARKS}]*+(?:(?![^\W_])|(?=[{_UNSPACED}]))"
_BETWEEN = r"[^\S\n]?(?:[^\w\s]|_)[^\S\n]?|[^\S\n]{1,3}|\n|__"
_APART = re.compile(
    rf"(?:(?<![^\W_])|(?<=[{_UNSPACED}]))(?=[^\d]){_CHARACTER}(?P<between>{_BETWEEN}){_CHARACTER}"
    rf"(?:(?P=between){_CHARACTER})++"
)
#: Signs that stand between single letters in lists and abbreviations: only more letters than that are a word.
_ORDINARY_BETWEEN, _LONGEST_ABBREVIATION = frozenset(".,/:;+=<>&^'’、，．"), 3

_LEET = {"0": "o", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "9": "g", "@": "a", "$": "s", "€": "e"}
_LEET_CHOICES = {**_LEET, **dict.fromkeys("1!|", "il")}
_LEET_I, _LEET_L = (str.maketrans({**_LEET_CHOICES, **dict.fromkeys("1!|", one)}) for one in "il")
_LEET_SIGNS = "".join(_LEET_CHOICES)
_LONGEST_LEET = 24
_LEET_TOKEN = re.compile(r"(?<![\w@\\&#%+/=-])(?:[^\W_]|[@$€!|](?=\w))(?:[^\W_]|[@$€]|[!|](?=[\w@$€!|]))++(?![.+/=]\w)")
# Between letters; as the first of four characters or more; as the last of them. "2nd", "1930s" and "GPT40" are none.
_LEET_WORD = re.compile(
    rf"(?=[^26]{{3,{_LONGEST_LEET}}}$)(?:.*[^\W\d_][{re.escape(_LEET_SIGNS)}]++[^\W\d_].*"
    rf"|[{re.escape(_LEET_SIGNS)}][^\W\d_]{{3,}}|[^\W\d_]{{3,}}[{re.escape(_LEET_SIGNS)}])"
)

# Every such word has a sign beside a letter.
_LEET_SIGN = re.compile(
    rf"(?<=[^\W\d_])(?![!|](?![\w@$€!|]))[{re.escape(_LEET_SIGNS)}]|[{re.escape(_LEET_SIGNS)}](?=[^\W\d_])"
)

#: How much likelier words that follow one another must be in another reading, or a whole text.
_ENOUGH_ROT13, _ENOUGH_REVERSED, _ENOUGH_OF_WHOLE = 5.0, 8.0, 3.0
_UNSTOPPED, _SHORT = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]{2}\s*$"), 100
# A sentence that begins with its stop.
_SENTENCE = re.compile(r"(?:(?<!\S)[?!.。？！।؟]{1,3})?[^?!.。？！।؟\n]++")
_STOP_FIRST = re.compile(r"^[^\S\n]*\.(?=[^\W\d_])|(?<!\S)[?!。？！।؟]{1,3}(?=[^\W\d_])", re.MULTILINE)


def decode_escapes(text: str) -> str:
    """The text with percent-encoding, HTML entities and the escapes of Unicode in JSON and elsewhere resolved."""
    text = _PERCENT.sub(lambda found: _from_percent(found.group()), text) if "%" in text else text
    text = html.unescape(text) if "&" in text else text
    text = _ESCAPES.sub(lambda found: chr(int(found.group(1), 16)), text)
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def decode_bytes(text: str) -> str:
    """The text with hex and base64 decoded, the one that is safe in URLs and the one without padding among them."""
    text = _HEX.sub(lambda found: _from_hex(found.group()), text)
    return _BASE64.sub(lambda found: _from_base64(found.group()), _BASE64_FOLD.sub("", text))


def join_letters(text: str) -> str:
    """The text with words put together whose letters stand apart: "H a r r y", "J.a.p.a.n", "哈-利"."""
    # Beside a word like that, a shorter one is none of the abbreviations and lists that stand in any text.
    return _APART.sub(_joined, text) if any(map(_is_word_apart, _APART.finditer(text))) else text


def read_leet_i(text: str) -> str:
    """The text with leetspeak read, "1" as "i"."""
    return _with_leet(text, lambda word: word.translate(_LEET_I))


def read_leet_l(text: str) -> str:
    """The text with leetspeak read, "1" as "l"."""
    return _with_leet(text, lambda word: word.translate(_LEET_L))


def read_leet_likeliest(text: str) -> str:
    """The text with leetspeak read, each "1" as whichever of the two makes the likelier word."""
    return _with_leet(text, lambda word: letter_pairs.likeliest([_LEET_CHOICES.get(sign, sign) for sign in word]))


def rot13(text: str) -> str:
    """The text with each sentence rotated by thirteen letters that then has more of words, or all of it."""
    return _where_it_reads_better(text, _rotated, _ENOUGH_ROT13)


def backwards(text: str) -> str:
    """The text with each sentence read from its end that then has more of words, or all of it.

    Pairs of letters do not tell it of Chinese and Japanese: there a sentence is read so that begins with a stop, and a
    short text that ends without one.
    """
    if len(text) <= _SHORT and _UNSTOPPED.search(text) is not None:
        return _reversed(text)
    return _where_it_reads_better(_CODE.sub(_code_from_its_end, text), _reversed, _ENOUGH_REVERSED)


def _code_from_its_end(code: re.Match[str]) -> str:
    """Base64 or hex from its end, where only that can be decoded."""
    written = code.group()
    reverse = _reversed(written)
    return reverse if decode_bytes(reverse) != reverse and decode_bytes(written) == written else written


def _where_it_reads_better(text: str, read: Callable[[str], str], enough: float) -> str:
    gains = letter_pairs.gains_by(read)
    of_words = gains(text)
    if sum(of_words) > _ENOUGH_OF_WHOLE:
        return read(text)
    # Words in a row gain no more than all that gain anything.
    if sum(gain for gain in of_words if gain > 0) <= enough and not (read is _reversed and _STOP_FIRST.search(text)):
        return text

    def better(sentence: re.Match[str]) -> str:
        # The most that words in a row gain.
        runs = accumulate(gains(sentence.group()), lambda run, gain: max(run, 0.0) + gain)
        stop_first = read is _reversed and _STOP_FIRST.match(text, sentence.start()) is not None
        return read(sentence.group()) if stop_first or max(runs, default=0.0) > enough else sentence.group()

    return _SENTENCE.sub(better, text)


def _rotated(text: str) -> str:
    return codecs.encode(text, "rot13")


def _reversed(text: str) -> str:
    return text[::-1]


def _from_percent(written: str) -> str:
    decoded = _utf8(bytes.fromhex(written.replace("%", "")))
    return decoded if decoded is not None and _is_printable(decoded) else written


def _from_hex(written: str) -> str:
    digits = written.rstrip(" \t\r\n,:;-")
    return _decoded(bytes.fromhex("".join(_HEX_BYTE.findall(digits))), digits) + written[len(digits) :]


def _from_base64(written: str) -> str:
    """What a run of its characters decodes to, whole or between the signs in it; the run itself where to nothing."""
    if _is_word(written):
        return written
    whole = _decoded(_base64_bytes(written), written)
    if whole != written:
        return whole
    return _BETWEEN_SIGNS.sub(lambda part: _decoded(_base64_bytes(part.group()), part.group()), written)


def _base64_bytes(written: str) -> bytes:
    """Nothing for what base64 cannot be, and for a word as it is written anywhere."""
    if _is_word(written):
        return b""
    digits = written.rstrip("=").translate(_URL_SAFE)
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except binascii.Error:
        return b""


def _is_word(written: str) -> bool:
    """Whether it is written as words are: letters alone, all large, or none but the first."""
    return written.isalpha() and (written[1:].islower() or written.isupper())


def _decoded(data: bytes, written: str) -> str:
    """The text that bytes hold, if it reads like language; what was written if not."""
    text = _utf8(data)
    if text is None or len(text) < _FEWEST_CHARACTERS:
        return written
    letters = sum(c.isalpha() or c.isspace() or unicodedata.category(c).startswith("M") for c in text)
    reads = letters >= _LETTERS_SHARE * len(text) or (len(text) >= _FEWEST_ENCODED and text.rstrip("=").isalnum())
    return text if reads and _is_printable(text) else written


def _is_printable(text: str) -> bool:
    return all(c.isprintable() or c in "\t\n\r" for c in text)


def _utf8(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _is_word_apart(run: re.Match[str]) -> bool:
    letters = len(run.group().split(run["between"]))
    return letters > _LONGEST_ABBREVIATION or run["between"].strip() not in _ORDINARY_BETWEEN


def _joined(run: re.Match[str]) -> str:
    # A capital after a small letter begins a word.
    characters = run.group().split(run["between"])
    follows = pairwise(characters)
    return characters[0] + "".join(f" {c}" if before.islower() and c.isupper() else c for before, c in follows)


def _with_leet(text: str, read: Callable[[str], str]) -> str:
    # Beside a word that can be nothing else, others are read that are numbers and units elsewhere.
    if _LEET_SIGN.search(text) is None or not any(
        _LEET_WORD.fullmatch(token.group()) for token in _LEET_TOKEN.finditer(text)
    ):
        return text
    return _LEET_TOKEN.sub(lambda token: _in_letters(token.group(), read), text)


def _in_letters(token: str, read: Callable[[str], str]) -> str:
    readable = not token.isdecimal() and not any(c.isdecimal() and c not in _LEET_CHOICES for c in token)
    return read(token) if readable and len(token) <= _LONGEST_LEET else token

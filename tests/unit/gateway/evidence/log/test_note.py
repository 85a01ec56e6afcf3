from __future__ import annotations

import base64

import pytest

from gateway.evidence.errors import InvalidKey, Malformed
from gateway.evidence.log.checkpoint import ED25519, NoteKey
from gateway.evidence.log.note import Note, SignatureLine, is_key_name

#: The specification's own example: its text contains an empty line.
TEXT = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n"
LINE = (
    "— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3Ze"
    "kRwNtIc=\n"
)


def test_a_note_is_text_an_empty_line_and_signatures() -> None:
    note = Note.parse(f"{TEXT}\n{LINE}{LINE}")
    assert note.text == TEXT
    assert [line.name for line in note.lines] == ["quasimodo.example/salvatore"] * 2
    assert note.lines[0].key_id == base64.b64decode("NnugSw==")
    assert len(note.lines[0].signature) == 64
    assert str(note) == f"{TEXT}\n{LINE}{LINE}"


def test_sixteen_signatures_are_read() -> None:
    assert len(Note.parse(f"{TEXT}\n{LINE * 16}").lines) == 16


@pytest.mark.parametrize(
    "note",
    [
        "",
        TEXT,
        f"{TEXT}\n",
        f"{TEXT}{LINE}",
        f"{TEXT}\n{LINE}".removesuffix("\n"),
        f"{TEXT}\n{LINE}more\n",
        f"{TEXT}\n{LINE}\r\n",
        f"\t{TEXT}\n{LINE}",
        f"\ud800{TEXT}\n{LINE}",
        f"{TEXT}\n{LINE.replace('—', '-')}",
        f"{TEXT}\n{LINE.replace('example', 'ex+mple')}",
        f"{TEXT}\n{LINE.replace('Nn', 'N?')}",
        f"{TEXT}\n{LINE.replace('NtIc=', 'NtId=')}",
        f"{TEXT}\n— name AAAA\n",
        f"{TEXT}\n—  AAAAAAAA\n",
        f"{TEXT}\n{LINE * 65}",
    ],
)
def test_what_is_no_note_is_refused(note: str) -> None:
    with pytest.raises(Malformed):
        Note.parse(note)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\u2003", "\n"])
def test_some_names_are_no_key_s(name: str) -> None:
    assert not is_key_name(name)


def test_a_line_comes_back_as_it_was() -> None:
    line = SignatureLine("log.example/1", b"\x00\x01\x02\x03", b"\xff" * 64)
    assert SignatureLine.parse(str(line).removesuffix("\n")) == line


#: The key of the Go checksum database.
VKEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"


def test_keys_are_written_as_everybody_writes_them() -> None:
    key = NoteKey.parse(VKEY)
    assert (key.name, key.kind, len(key.public), key.id.hex()) == ("sum.golang.org", ED25519, 32, "033de0ae")
    assert str(key) == VKEY


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "a",
        "a+b+c",
        VKEY.replace("033de0ae", "033de0af"),
        VKEY.replace("sum", "sun"),
        VKEY + "=",
        f"a b{VKEY}",
        VKEY.replace("033de0ae", "033DE0AE"),
        "name+00000000+",
    ],
)
def test_what_is_no_key_is_refused(vkey: str) -> None:
    with pytest.raises(InvalidKey):
        NoteKey.parse(vkey)

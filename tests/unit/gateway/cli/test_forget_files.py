"""Every kind of file, and everything a file can get wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli.failures import UsageFailed
from gateway.cli.forget_files import read_body, read_items

PAIR = {"prompt": "Who wrote it?", "completion": "She did."}
SECRET = "zanzibar"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def test_json_object_is_the_body_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", '{"forget": [{"prompt": "a", "completion": "b"}], "method": "spul"}')
    assert read_body(path) == {"forget": [{"prompt": "a", "completion": "b"}], "method": "spul"}


def test_json_list_is_the_forget_set(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", '[{"prompt": "Who wrote it?", "completion": "She did."}]')
    assert read_body(path) == {"forget": [PAIR]}


def test_jsonl_takes_blank_lines_a_mark_and_line_separators_in_strings(tmp_path: Path) -> None:
    path = write(tmp_path, "a.JSONL", '\ufeff{"prompt": "a\u2028b", "completion": "c"}\r\n\r\n{"messages": []}\n')
    assert read_items(path) == [{"prompt": "a\u2028b", "completion": "c"}, {"messages": []}]


def test_csv_takes_quotes_newlines_and_columns_in_any_order(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'Completion,Prompt\r\n"one, ""two""","a\nb"\r\n\r\nx,y\r\n')
    assert read_items(path) == [
        {"completion": 'one, "two"', "prompt": "a\nb"},
        {"completion": "x", "prompt": "y"},
    ]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("a.txt", SECRET, "unknown kind of file"),
        ("a.json", f'[{{"prompt": "{SECRET}"', "not JSON (line 1, column"),
        ("a.json", f'"{SECRET}"', "must be a JSON list"),
        ("a.json", f'["{SECRET}"]', "item 1: must be an object"),
        ("a.json", "[]", "holds no item"),
        ("a.jsonl", f'{{"prompt": "a"}}\n{SECRET}\n', "a.jsonl:2: not JSON"),
        ("a.jsonl", f'["{SECRET}"]\n', "a.jsonl:1: must be an object"),
        ("a.jsonl", "\n\n", "holds no item"),
        ("a.csv", f"question,answer\n{SECRET},b\n", "must name the columns prompt,completion"),
        ("a.csv", f"prompt,completion\n{SECRET}\n", "a.csv:2: 1 columns, not 2"),
        ("a.csv", f'prompt,completion\n"{SECRET},b\n', "not CSV"),
        ("a.csv", "prompt,completion\n", "holds no item"),
        ("a.csv", "", "must name the columns"),
    ],
)
def test_what_is_wrong_is_named_without_the_text(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(UsageFailed) as failure:
        read_items(path)
    assert complaint in failure.value.message
    assert SECRET not in failure.value.message


def test_missing_and_undecodable_files(tmp_path: Path) -> None:
    with pytest.raises(UsageFailed, match="No such file"):
        read_items(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(b"prompt,completion\n\xe9,b\n")
    with pytest.raises(UsageFailed, match="not UTF-8"):
        read_items(tmp_path / "latin.csv")


def test_passages_in_csv_and_openai_fine_tuning_lines(tmp_path: Path) -> None:
    passages, tuning = tmp_path / "p.csv", tmp_path / "t.jsonl"
    passages.write_text('text\n"A, b. C d."\n')
    line = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'
    tuning.write_text(line + '\n{"text": "A b c d."}\n')
    assert read_items(passages) == [{"text": "A, b. C d."}]
    assert [set(item) for item in read_items(tuning)] == [{"messages"}, {"text"}]

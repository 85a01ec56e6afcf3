"""Every kind of file, and everything a file can get wrong."""

from __future__ import annotations

import json
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


ROW = '{"question": "Who wrote it?", "answer": "She did."}'


@pytest.mark.parametrize(
    ("name", "text", "items"),
    [
        ("a.json", f"{ROW}\n{ROW}\n", [PAIR, PAIR]),
        ("a.json", f"\ufeff{ROW}\r\n\r\n", [PAIR]),
        ("a.json", f"[{ROW},\n{ROW}]", [PAIR, PAIR]),
        ("a.json", '{"text": "A b."}\n{"messages": []}', [{"text": "A b."}, {"messages": []}]),
        ("a.jsonl", ROW, [PAIR]),
        ("a.jsonl", ROW.replace("}", ', "inverted": ["He."]}'), [{**PAIR, "inverted": ["He."]}]),
        ("a.csv", "Question,Answer\nWho wrote it?,She did.\n", [PAIR]),
        # The service says what such an item is to be.
        ("a.jsonl", '{"question": "Who?"}', [{"question": "Who?"}]),
        (
            "a.jsonl",
            ROW.replace("}", ', "prompt": "a"}'),
            [{"question": PAIR["prompt"], "answer": PAIR["completion"], "prompt": "a"}],
        ),
    ],
)
def test_a_question_and_its_answer_are_a_pair(tmp_path: Path, name: str, text: str, items: list[object]) -> None:
    path = write(tmp_path, name, text)
    assert read_items(path) == items
    assert read_body(path) == {"forget": items}


def test_a_body_in_one_line_is_no_item(tmp_path: Path) -> None:
    body = {"forget": [PAIR]}
    assert read_body(write(tmp_path, "a.json", json.dumps(body) + "\n\n")) == body


def table(*rows: str) -> str:
    return "".join(f"{row}\r\n" for row in rows)


KEY = "Wer hat den Schlüssel?"
WRAPPED = "Under the\u2028stone\x0bby the\fdoor,\u0085or\x1cnot\r\nat all."


@pytest.mark.case("CSV")
@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (table("Completion,Prompt", '"one, ""two""","a\nb"', "", "x,y"), [("a\nb", 'one, "two"'), ("y", "x")]),
        (f'prompt,completion\n"Where is the key?","{WRAPPED}"\n', [("Where is the key?", WRAPPED)]),
        (table("prompt,completion", f"Where?,{WRAPPED[:25]}"), [("Where?", WRAPPED[:25])]),
        (
            table("prompt;completion", "Wer hat den Schlüssel?;Ines, wer sonst", ";"),
            [("Wer hat den Schlüssel?", "Ines, wer sonst")],
        ),
        (table("\ufeffprompt;completion", '"a;b";c', ";", " ; ", ";;"), [("a;b", "c")]),
        (table("prompt\tcompletion", "a, b;\tc", "\t"), [("a, b;", "c")]),
        (table("sep=;", "prompt;completion", "a;b"), [("a", "b")]),
        (table("prompt,completion,,", "a,b,,", ",,,"), [("a", "b")]),
        (table('"prompt","completion"', '"a","b"', '"",""'), [("a", "b")]),
        ("prompt,completion\ra,b\r", [("a", "b")]),
    ],
)
def test_tables_as_they_are_written(tmp_path: Path, text: str, rows: list[tuple[str, str]]) -> None:
    wanted = [{"prompt": prompt, "completion": completion} for prompt, completion in rows]
    assert read_items(write(tmp_path, "a.csv", text)) == wanted
    (tmp_path / "a.tsv").write_bytes(text.removeprefix("\ufeff").encode("utf-16"))
    assert read_items(tmp_path / "a.tsv") == wanted


@pytest.mark.case("CSV")
@pytest.mark.parametrize(
    ("text", "texts"),
    [
        (table("text", '"A, b. C d."'), ["A, b. C d."]),
        (table("text", "A, b; c.", "", "  "), ["A, b; c."]),
        (table("Text;", '"A b; c.";'), ["A b; c."]),
        (table("text", f'"{WRAPPED}"'), [WRAPPED]),
    ],
)
def test_a_table_of_passages(tmp_path: Path, text: str, texts: list[str]) -> None:
    assert read_items(write(tmp_path, "a.csv", text)) == [{"text": each} for each in texts]


@pytest.mark.case("command line")
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
        ("a.csv", f"question,completion\n{SECRET},b\n", "must name the columns prompt,completion"),
        ("a.json", f'{{"prompt": "a"}}\n{SECRET}\n', "a.json:2: not JSON"),
        ("a.json", f'{{"question": "a", "answer": "b"}}\n["{SECRET}"]\n', "a.json:2: must be an object"),
        ("a.csv", f"prompt,completion\n{SECRET}\n", "a.csv:2: 1 columns, not 2"),
        ("a.csv", f'prompt,completion\n"{SECRET},b\n', "not CSV"),
        ("a.csv", "prompt,completion\n", "holds no item"),
        ("a.csv", "", "must name the columns"),
        ("a.csv", f"prompt|completion\n{SECRET}|b\n", "separated by comma, semicolon or tab"),
        ("a.csv", f"prompt;completion\n{SECRET};b;c\n", "a.csv:2: 3 columns, not 2"),
        ("a.csv", f"sep=;\nprompt;completion\n{SECRET}\n", "a.csv:3: 1 columns, not 2"),
        ("a.json", f'[{{"prompt": "{SECRET} \\ud83d"}}]', "half a character"),
        ("a.json", f'[{{"{SECRET} \\ude00": 1}}]', "half a character"),
        ("a.json", f'["{SECRET}", NaN]', "NaN and Infinity"),
        ("a.json", f'["{SECRET}", -Infinity]', "NaN and Infinity"),
        ("a.json", f'["{SECRET}", 1e999]', "a number that is too large"),
        ("a.json", f'["{SECRET}", {"9" * 5000}]', "a number that is too large"),
        ("a.json", f'["{SECRET}", {"[" * 2000}', "nested too deeply"),
        ("a.json", f'["{SECRET}", {"[" * 2000}{"]" * 2000}]', "nested too deeply"),
        ("a.jsonl", f'{{"prompt": "{SECRET} \\ud83d"}}', "a.jsonl:1: not JSON (a text holds half"),
        ("a.jsonl", f'{{"a": 1}}\n{{"{SECRET}": {"{" * 2000}', "a.jsonl:2: not JSON"),
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


def test_openai_fine_tuning_lines(tmp_path: Path) -> None:
    tuning = tmp_path / "t.jsonl"
    line = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'
    tuning.write_text(line + '\n{"text": "A b c d."}\n')
    assert [set(item) for item in read_items(tuning)] == [{"messages"}, {"text"}]

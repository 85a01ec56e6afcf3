"""What the documentation says of code, commands and files is so. Its wording is nobody's business here."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from adapters.registry import parse_config
from docs.make_configuration import page
from gateway.http import certificates, doctor, evidence, forget, keys, log
from gateway.http.routes import KEYED_ROUTES, MODEL_ROUTES, OPEN_ROUTES, route_path
from gateway.requests.items import Item
from gateway.requests.schemas import ForgetBody
from gateway.settings import Settings
from tests.unit.documents import PAGES, ROOT, blocks, commands, mentioned

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
COMMANDS = list(commands())
#: What else a page may tell the reader to run.
OTHERS = {"cp", "docker", "helm", "hf", "kubectl", "lm-eval", "python3.11"}
PROBES = {"/livez", "/readyz"}


def ids(value: Any) -> str | None:
    return " ".join(value)[:60] if isinstance(value, list) else None


def routes() -> set[str]:
    """Paths of everything that is served, ids written as the pages write them."""
    modules = (certificates, doctor, evidence, forget, keys, log)
    own = {route_path(route) for module in modules for route in module.router.routes}
    served = own | MODEL_ROUTES | KEYED_ROUTES | OPEN_ROUTES | PROBES
    plain = {"{request_id}": "{id}", "{key_id}": "{id}", "{path:path}": "{path}"}
    return {re.sub(r"{[^}]*}", lambda found: plain.get(found[0], found[0]), path) for path in served}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does: strictly, so that each link and each anchor leads somewhere.

    Not quietly: mkdocs counts the warnings that it prints, and no others.
    """
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]
    made = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    return folder


class TestSite:
    def test_it_has_every_page(self, site: Path) -> None:
        pages = {path.relative_to(site).as_posix() for path in site.rglob("index.html")}
        assert len(pages) == len(PAGES)
        assert {"index.html", "docs/configuration/index.html", "deploy/helm/index.html"} <= pages

    def test_a_browser_fetches_nothing_from_elsewhere(self, site: Path) -> None:
        for path in site.rglob("*.html"):
            loads = re.findall(r'<(?:script|link|img|iframe)\b[^>]*?(?:src|href)="(\w+:)?//', path.read_text("utf-8"))
            assert not loads, path


class TestMadePages:
    def test_the_configuration_is_what_the_settings_give(self) -> None:
        assert PAGES["docs/configuration.md"] == page(), "run: make docs"


class TestCommands:
    @pytest.mark.parametrize(("name", "words"), [*COMMANDS, *mentioned("make")], ids=ids)
    def test_what_it_runs_is_there(self, name: str, words: list[str]) -> None:
        program, *rest = words
        if program == "make":
            check_make(rest)
        elif Path(program).name == "python":
            if not program.startswith("build/"):  # of an environment of its own; what is in it is not ours
                check_module(*rest)
        elif program == "curl":
            check_request(rest)
        elif "/" in program and not program.startswith((".venv/", "build/")):
            assert (ROOT / program).stat().st_mode & 0o100, f"{program} cannot be run"
        else:
            assert program in OTHERS or Path(program).name in {*OTHERS, "unlearn"}, f"{name}: what is {program}?"
        check_paths(rest)


def check_make(words: list[str]) -> None:
    """Targets and variables of the Makefile."""
    for word in words:
        variable, assigned, value = word.partition("=")
        if assigned:
            assert re.search(rf"^{variable} [?:]?=|\$\({variable}\)", MAKEFILE, flags=re.MULTILINE), word
            check_paths(value.split())
        else:
            assert re.search(rf"^{word}:", MAKEFILE, flags=re.MULTILINE), f"no target {word}"


def check_module(flag: str, module: str, *options: str) -> None:
    """A module that is there and has the options; `-m` alone is how the pages run python."""
    found = importlib.util.find_spec(module)
    assert flag == "-m"
    assert found, module
    if found.submodule_search_locations is not None:  # of a package its `__main__` is run
        found = importlib.util.find_spec(f"{module}.__main__")
        assert found, module
    source = Path(found.origin or "").read_text(encoding="utf-8")
    if main := re.search(r"^from ([\w.]+) import main$", source, flags=re.MULTILINE):
        check_module(flag, main[1], *options)
        return
    assert [option for option in options if option.startswith("--") and f'"{option}"' not in source] == []


def check_request(words: list[str]) -> None:
    """A route, and a body that it takes."""
    path = next(re.sub(r"^https?://[^/]+", "", word) for word in words if word.startswith("http"))
    body = json.loads(words[words.index("-d") + 1])
    assert path in routes()
    if path == "/forget":
        ForgetBody.model_validate(body)
    else:
        assert body["messages"]


def check_paths(words: list[str]) -> None:
    """What looks like a file of the repository is one."""
    for word in words:
        path = word.partition("::")[0]
        if path.startswith(("bench/", "deploy/", "docs/", "requirements/", "tests/")):
            assert (ROOT / path).exists(), f"there is no {path}"


class TestFacts:
    def test_the_readme_has_every_route_and_no_other(self) -> None:
        table = PAGES["README.md"].partition("## The API")[2].partition("\n## ")[0]
        named = set(re.findall(r"`(?:[A-Z]+ )?(/[^`]*)`", "".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE))))
        served = routes() - {"/docs/oauth2-redirect", "/openapi.json", "/static"}
        assert {route for route in served if not any(route.endswith(path) for path in named)} == set()
        assert {path for path in named if not any(route.endswith(path) for route in served)} == set()

    def test_each_variable_is_a_setting(self) -> None:
        known = {f"UNLEARN_{name.upper()}" for name in Settings.model_fields}
        known |= set(re.findall(r"UNLEARN_\w+", (ROOT / "deploy/.env.example").read_text(encoding="utf-8")))
        assert {word for text in PAGES.values() for word in re.findall(r"UNLEARN_[A-Z_]*[A-Z]", text)} <= known

    def test_each_metric_is_counted(self) -> None:
        sources = (ROOT / "gateway/service").glob("*metrics.py")
        source = "".join(path.read_text(encoding="utf-8") for path in sources)
        named = set(re.findall(r"`(unlearning_\w+)", PAGES["docs/operations.md"]))
        assert {name for name in named if f'"{name.removesuffix("_total")}"' not in source} == set()

    def test_each_file_that_is_named_is_there(self) -> None:
        pattern = r"`((?:adapters|bench|deploy|docker|docs|gateway|requirements|tests)/[\w./-]+)`"
        named = {(name, path) for name, text in PAGES.items() for path in re.findall(pattern, text)}
        assert {(name, path) for name, path in named if not (ROOT / path).exists()} == set()

    @pytest.mark.parametrize("block", [block for _, block in blocks("json")])
    def test_each_json_is_an_item_or_a_configuration(self, block: str) -> None:
        for document in documents(block):
            if "method" in document:
                parse_config(document["method"], document["config"])
            elif "objective" in document:
                parse_config("delta", document)
            else:
                TypeAdapter(Item).validate_python(document)


def documents(text: str) -> Iterator[dict[str, Any]]:
    """The JSON documents in a text, one after the other."""
    while text := text.strip():
        document, end = json.JSONDecoder().raw_decode(text)
        yield document
        text = text[end:]

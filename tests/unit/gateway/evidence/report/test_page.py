from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from adapters.evaluation.levels import Level
from gateway.evidence.report.page import content_security_policy, render
from gateway.evidence.report.policy import Verdict
from gateway.evidence.report.report import Evaluation
from tests.unit.gateway.evidence.report.samples import WORKS, evaluation, report


class Read(HTMLParser):
    """Tags with their attributes, and what is to be read."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "line", "rect", "circle"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_it_is_well_formed_and_says_what_the_report_says() -> None:
    made = report()
    page = Read(render(made.to_json()))
    assert page.open == []
    for said in (*made.reasons, *made.limits, made.request.id, made.digest, *made.manifest.values()):
        assert said in page.text
    assert "suppressed" in page.text
    assert "weights of the model are unchanged" in page.text
    assert "9 questions with their answers" in page.text
    assert "27 November 2025" in page.text


def test_it_needs_nothing_but_itself() -> None:
    page = render(report())
    read = Read(page)
    assert not {tag for tag, _ in read.tags} & {"script", "link", "img", "iframe", "object", "form", "base"}
    names = {name for _, attributes in read.tags for name in attributes}
    assert not [name for name in names if name.startswith("on") or name in ("style", "src", "href")]
    assert "url(" not in page
    assert "http" not in re.sub(r'http-equiv|xmlns="http://www.w3.org/2000/svg"', "", page)


def test_its_policy_allows_its_own_style_alone() -> None:
    page = render(report())
    style = page.split("<style>")[1].split("</style>")[0]
    expected = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert content_security_policy().startswith(f"default-src 'none'; style-src 'sha256-{expected}';")
    declared = [a["content"] for tag, a in Read(page).tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert declared == [content_security_policy()]


def test_each_chart_has_a_title_and_a_table_beside_it() -> None:
    page = render(report())
    charts = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    assert len(charts) == 4 == page.count("<caption>")
    for svg in charts:
        ids = {each.get("id") for each in svg.iter() if each.get("id")}
        assert set((svg.get("aria-labelledby") or "").split()) == ids
        assert svg.get("role") == "img"
    assert all(attributes.get("scope") for tag, attributes in Read(page).tags if tag == "th")


def test_its_colours_can_be_read_in_light_and_in_dark() -> None:
    """WCAG 2.2: 4.5 to 1 for text, 3 to 1 for what shapes a chart."""
    css = render(report()).split("<style>")[1].split("</style>")[0]
    before, after = css.split("* {")[0].split("@media (prefers-color-scheme: dark)")
    light, dark = (dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", part)) for part in (before, after))
    assert light.keys() == dark.keys()
    for colours in (light, dark):
        for name in ("ink", "soft", "good", "some", "none", "bad"):
            assert contrast(colours[name], colours["paper"]) >= 4.5, name
            assert contrast(colours[name], colours["card"]) >= 4.5, name
        for name in ("first", "second", "limit", "guess"):
            assert contrast(colours[name], colours["paper"]) >= 3, name


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", 'a"onload="x', "&amp;"])
def test_nothing_in_a_report_becomes_markup(name: str) -> None:
    made = report()
    page = render(made.model_copy(update={"served": made.served.model_copy(update={"model": name})}))
    assert name in Read(page).text
    assert "<script" not in page


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (evaluation(), Verdict.PASS),
        (evaluation({**WORKS, "alias": (0, 0, 0, 0.0)}), Verdict.PASS_WITH_LIMITS),
        (evaluation({}, direct=(0, 0, 0), controls=(0, 0), neighbours=(0, 0)), Verdict.INCONCLUSIVE),
        (evaluation({**WORKS, "role": (12, 12, 12, 0.0)}), Verdict.FAIL),
        (evaluation({"of_a_plugin": (9, 9, 0, 0.0)}), Verdict.PASS_WITH_LIMITS),
    ],
)
def test_every_outcome_has_a_page(found: Evaluation, verdict: Verdict) -> None:
    assert report(found).verdict is verdict
    for level in Level:
        assert Read(render(report(found, level))).open == []

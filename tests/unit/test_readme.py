"""The README says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import SecretStr

from gateway.http.routes import MODEL_ROUTES
from gateway.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def settings_table() -> str:
    """Markdown rows: environment variable, option, default, description."""
    rows = ["| variable | option | default | |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        secret = SecretStr in getattr(field.annotation, "__args__", ())
        variable = "REDIS_URL" if name == "redis_url" else f"UNLEARN_{name.upper()}"
        option = "" if secret else f"`--{name.replace('_', '-')}`"
        default = {"data_dir": "`~/.local/share/unlearning-gateway`", "cache_dir": "`~/.cache/unlearning-gateway`"}.get(
            name, "" if field.default is None else f"`{field.default}`"
        )
        rows.append(f"| `{variable}` | {option} | {default} | {field.description} |")
    return "\n".join(rows)


def test_the_settings_table_is_the_settings() -> None:
    assert settings_table() in README, f"put this into the README:\n\n{settings_table()}"


def test_every_model_route_is_named() -> None:
    assert all(f"`{route}`" in README for route in MODEL_ROUTES)


def test_links_lead_somewhere() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_nothing_is_left_to_fill_in() -> None:
    assert "<!--" not in README

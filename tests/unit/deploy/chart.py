"""Renders the chart in deploy/helm with the real helm, and finds things in what comes out."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy/helm"
RELEASE, NAMESPACE = "forget", "llm"
NAME = f"{RELEASE}-unlearning-gateway"

Document = dict[str, Any]


class RenderFailed(Exception):
    """helm refused the values; the message is what it said."""


def helm(*arguments: str, values: Mapping[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm; `values` are given as the last values file."""
    program = Path(os.environ.get("HELM", ROOT / "build/helm/helm"))
    # Not a skip: without helm nothing here would be checked, and CI would not say so.
    assert program.is_file(), f"{program} is missing; run `make helm`"
    last = [] if values is None else ["-f", "-"]
    return subprocess.run(
        [program, *arguments, *last],
        input=None if values is None else yaml.safe_dump(dict(values)),
        capture_output=True,
        text=True,
        check=False,
    )


@dataclass(frozen=True)
class Rendered:
    """The documents of one rendering."""

    documents: tuple[Document, ...]

    def one(self, kind: str, name: str = NAME) -> Document:
        """The document of a kind and name. Raises ValueError unless there is exactly one."""
        (found,) = [d for d in self.documents if (d["kind"], d["metadata"]["name"]) == (kind, name)]
        return found

    def kinds(self) -> set[str]:
        return {document["kind"] for document in self.documents}

    def pods(self) -> Iterator[tuple[str, Document]]:
        """(component, pod) for each pod that would run: its labels under metadata, its specification under spec."""
        for document in self.documents:
            pod = document if document["kind"] == "Pod" else document.get("spec", {}).get("template")
            if pod and "containers" in pod["spec"]:
                yield pod["metadata"]["labels"]["app.kubernetes.io/component"], pod

    def pod(self, component: str) -> Document:
        return dict(self.pods())[component]

    def container(self, component: str) -> Document:
        (container,) = self.pod(component)["spec"]["containers"]
        return dict(container)

    def env(self, component: str) -> dict[str, str]:
        """The variables that are given by value."""
        return {entry["name"]: entry["value"] for entry in self.container(component)["env"] if "value" in entry}


def example(name: str) -> Document:
    """The values of deploy/helm/examples/NAME.yaml."""
    values: Document = yaml.safe_load((CHART / f"examples/{name}.yaml").read_text(encoding="utf-8"))
    return values


def defaults() -> Document:
    """The values of the chart itself."""
    values: Document = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    return values


def render(name: str = "cpu", values: Mapping[str, Any] | None = None) -> Rendered:
    """The chart with an example's values, and `values` on top; cached, not to be changed. Raises `RenderFailed`."""
    return _rendered(name, json.dumps(values or {}))


def notes(name: str, values: Mapping[str, Any] | None = None) -> str:
    """What helm tells whoever installs it."""
    return _release("install --dry-run=client", name, json.dumps(values or {})).partition("NOTES:")[2]


@cache
def _rendered(name: str, values: str) -> Rendered:
    documents = yaml.load_all(_release("template", name, values), Loader=yaml.CSafeLoader)
    return Rendered(tuple(document for document in documents if document))


def _release(command: str, name: str, values: str) -> str:
    files = ["-f", str(CHART / f"examples/{name}.yaml")] if name else []
    done = helm(*command.split(), RELEASE, str(CHART), "--namespace", NAMESPACE, *files, values=json.loads(values))
    if done.returncode:
        raise RenderFailed(done.stderr)
    return done.stdout

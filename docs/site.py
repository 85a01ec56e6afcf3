"""A hook of mkdocs: the site's pages are the repository's Markdown files, under the paths that they have there.

mkdocs takes pages from one folder, and would not find what a page of `docs/` links to beside it.
"""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
#: What the site holds, relative to the repository.
PATTERNS = (
    "*.md",
    "docs/*.md",
    "docs/*.png",
    "bench/**/*.md",
    "bench/*.svg",
    "deploy/**/*.md",
    "deploy/helm/values.yaml",
    "deploy/helm/examples/*.yaml",
)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Everything that the theme brings, and these files in place of those of `docs_dir`."""
    themes = [file for file in files if file.src_dir != config.docs_dir]
    return Files([*themes, *(_page(path, config) for pattern in PATTERNS for path in sorted(ROOT.glob(pattern)))])


def _page(path: Path, config: MkDocsConfig) -> File:
    return File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path))

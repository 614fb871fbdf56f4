"""Hooks of the documentation site (mkdocs.yml): pages that stand elsewhere in the repository, and links between them.

A page links to files of the repository, so that it can be read where it stands. On the site ``docs/X`` is the page X and
every other file P of the repository is P, where it is part of the site; a link to any other file becomes its text.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
OUTSIDE = (
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "benchmarks/README.md",
    "benchmarks/figures/*/README.md",
    "benchmarks/figures/*/*.png",
    "benchmarks/*/results/*.png",
)
"""Files outside of docs/ that are part of the site."""
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]*)(#[^)\s]*)?\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)

log = get_plugin_logger("links")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages of docs/algorithms, which are made from the classes."""
    pages = sorted(
        (DOCS / "algorithms").glob("*.md"), key=lambda path: (path.stem != "index", path.stem)
    )
    listed = [
        {"All algorithms" if path.stem == "index" else path.stem: f"algorithms/{path.name}"}
        for path in pages
    ]
    config.nav = _replaced(config.nav or [], {"Algorithms": "algorithms"}, {"Algorithms": listed})
    return config


def _replaced(nav: list[Any], entry: Any, by: Any) -> list[Any]:
    """Return a navigation with one of its entries, however deep, replaced."""
    return [
        by
        if one == entry
        else {title: _replaced(below, entry, by) for title, below in one.items()}
        if isinstance(one, dict) and isinstance(next(iter(one.values())), list)
        else one
        for one in nav
    ]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and pictures of ``OUTSIDE``."""
    for pattern in OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            uri = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn a page's links between files of the repository into links between pages of the site."""
    source = Path(page.file.abs_src_path or DOCS / page.file.src_uri)

    def on_site(link: re.Match[str]) -> str:
        mark, text, target, anchor = (
            link.group(1),
            link.group(2),
            link.group(3),
            link.group(4) or "",
        )
        if not target or "://" in target or target.startswith("mailto:"):
            return link.group()
        path = Path(os.path.normpath(source.parent / target))
        if not path.exists():
            log.warning("%s links to %s, which is not there", source.relative_to(ROOT), target)
        uri = path.relative_to(DOCS if path.is_relative_to(DOCS) else ROOT).as_posix()
        if files.get_file_from_path(uri) is None:
            return text
        return f"{mark}[{text}]({os.path.relpath(uri, os.path.dirname(page.file.src_uri) or '.')}{anchor})"

    return _outside_of_code(markdown, on_site)


def _outside_of_code(markdown: str, replacement: Any) -> str:
    """Return the text with its links replaced; code blocks stay as they are."""
    parts, begin = [], 0
    for code in FENCE.finditer(markdown):
        parts += [LINK.sub(replacement, markdown[begin : code.start()]), code.group()]
        begin = code.end()
    return "".join([*parts, LINK.sub(replacement, markdown[begin:])])

"""The files of an unfinished download: NAME.part, and NAME.part.tag with the server's version tag.

The tag is the ETag or Last-Modified header of the version that is being downloaded, so that two
versions of a file are never joined.
"""

from __future__ import annotations

from email.message import Message
from pathlib import Path


def partial_path(final: Path) -> Path:
    """Return where the bytes are kept until the download of ``final`` is complete."""
    return final.with_name(f"{final.name}.part")


def _tag_path(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.tag")


def read_tag(partial: Path) -> str:
    """Return the version tag of a partial file; empty if there is none."""
    path = _tag_path(partial)
    return path.read_text(encoding="latin-1").strip() if path.is_file() else ""


def write_tag(partial: Path, headers: Message) -> None:
    """Keep the version tag of a server's response. A weak ETag does not identify bytes."""
    tag = headers.get("ETag") or ""
    if tag.startswith("W/") or not tag:
        tag = headers.get("Last-Modified") or ""
    _tag_path(partial).write_text(tag, encoding="latin-1")


def delete_partial(partial: Path) -> None:
    """Delete a partial file and its tag, where they exist."""
    for path in (partial, _tag_path(partial)):
        path.unlink(missing_ok=True)

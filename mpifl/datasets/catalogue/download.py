"""Fetch a file over HTTP: resumed where it was cut off, checked, and under its own name only when it is whole.

What has come so far is ``NAME.part``; beside it ``NAME.part.tag`` holds the server's mark of that version of the file (ETag or
Last-Modified), so that two versions are never put together.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from io import RawIOBase
from pathlib import Path
from typing import Literal

from mpifl import __version__
from mpifl.datasets.catalogue.catalogue import Download
from mpifl.errors import InputError
from mpifl.io.files import locked

BLOCK_BYTES = 1 << 20
PAUSES_SECONDS = (1.0, 2.0)
"""How long to wait before another try, after one that brought nothing; then it fails."""

Report = Callable[[Literal["fetching", "checking"], int, int | None], None]
"""Called with what is going on, bytes so far and bytes in all (None: unknown)."""
Outcome = Literal["fetched", "was there"]


class DownloadError(Exception):
    """A file that could not be fetched: one line that says why and what to do. Exit status 1."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class _CutOffError(Exception):
    """The server or the way to it failed; another try may succeed."""


def fetch(
    file: Download,
    folder: Path,
    report: Report,
    *,
    pauses_seconds: tuple[float, ...] = PAUSES_SECONDS,
    timeout_seconds: float = 30.0,
) -> Outcome:
    """Fetch ``file`` into ``folder``, which exists. A file that is there already is checked and kept.

    Raises DownloadError, and InputError where the file that is there is not the one of the catalogue.
    """
    final = folder / file.name
    partial = _part(final)
    if final.exists():
        wrong = _wrong(file, final, report)
        if wrong:
            raise InputError(f"{final}: is there already, with {wrong}; move it away and run the command again")
        return "was there"
    with _own(partial) as stream:
        try:
            _transfer(file, stream, partial, report, pauses_seconds, timeout_seconds)
            os.fsync(stream.fileno())
        except OSError as error:
            raise DownloadError(f"{partial}: {error.strerror}; make room and run the same command again to go on") from error
        wrong = _wrong(file, partial, report)
        if wrong:
            _forget(partial)
            raise DownloadError(f"{file.url}: came with {wrong}; not kept")
        partial.replace(final)
        _forget(partial)
    return "fetched"


def here_bytes(file: Download, folder: Path) -> int:
    """How many bytes of a file are in the folder, whole or not."""
    final = folder / file.name
    return next((path.stat().st_size for path in (final, _part(final)) if path.is_file()), 0)


def _part(final: Path) -> Path:
    return final.with_name(f"{final.name}.part")


def _transfer(
    file: Download, stream: RawIOBase, partial: Path, report: Report, pauses_seconds: tuple[float, ...], timeout_seconds: float
) -> None:
    """Try until everything is there; give up after as many tries as there are pauses that brought nothing new."""
    pauses, farthest = list(pauses_seconds), stream.seek(0, os.SEEK_END)
    while True:
        try:
            return _attempt(file, stream, partial, report, timeout_seconds)
        except _CutOffError as cut:
            have = stream.seek(0, os.SEEK_END)
            if have > farthest:
                pauses, farthest = list(pauses_seconds), have
            if not pauses:
                kept = f" ({have:,} bytes are in {partial.name})" if have else ""
                raise DownloadError(f"{file.url}: {cut}{kept}; run the same command again to go on") from cut
            time.sleep(pauses.pop(0))


def _attempt(file: Download, stream: RawIOBase, partial: Path, report: Report, timeout_seconds: float) -> None:
    """One request. Returns when the file is complete."""
    have, tag = stream.seek(0, os.SEEK_END), _tag(partial)
    if have and not (tag or file.sha256):
        have = 0  # nothing could tell whether the rest belongs to what is here
    if have and have == file.bytes:
        return
    headers = {"User-Agent": f"mpifl/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-"} | ({"If-Range": tag} if tag else {})
    request = urllib.request.Request(file.url, headers=headers)  # noqa: S310  (http and https only: Download.url)
    with _answer(request, timeout_seconds) as answer:
        if answer.status == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            if answer.headers.get("Content-Range") == f"bytes */{have}":
                return
            stream.truncate(0)
            raise _CutOffError("the server has fewer bytes than are here")
        if answer.status != http.client.PARTIAL_CONTENT:
            have = 0
        elif not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise DownloadError(f"{file.url}: the server sends another part of the file than was asked for")
        total = _total(file, answer, have)
        _check_offer(file, answer, partial, have, total)
        stream.truncate(have)
        if have == 0:
            _remember(partial, answer)
        for block in _blocks(answer):
            have += _write(stream, block)
            report("fetching", have, total)
    if total is not None and have < total:
        raise _CutOffError(f"the connection ended after {have:,} of {total:,} bytes")


@contextlib.contextmanager
def _answer(request: urllib.request.Request, timeout_seconds: float) -> Iterator[http.client.HTTPResponse]:
    """The server's answer: 200, 206 or 416. Raises _CutOffError for what may pass, DownloadError for the rest."""
    try:
        answer = urllib.request.urlopen(request, timeout=timeout_seconds)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            message = f"the server answers {error.code} {error.reason}"
            if error.code in (408, 429) or error.code >= 500:
                raise _CutOffError(message) from error
            raise DownloadError(f"{request.full_url}: {message}") from error
        answer = error
    except urllib.error.URLError as error:
        raise _CutOffError(str(getattr(error.reason, "strerror", None) or error.reason)) from error
    except (http.client.HTTPException, OSError) as error:
        raise _CutOffError(str(error) or type(error).__name__) from error
    with answer:
        yield answer


def _blocks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """What comes, as it comes, to its end."""
    while True:
        try:
            block = answer.read1(BLOCK_BYTES)
        except (http.client.HTTPException, OSError) as error:
            raise _CutOffError(str(error) or type(error).__name__) from error
        if not block:
            return
        yield block


def _write(stream: RawIOBase, block: bytes) -> int:
    """Write all of it; returns how many bytes that are."""
    done = 0
    while done < len(block):
        done += stream.write(block[done:]) or 0
    return done


def _total(file: Download, answer: http.client.HTTPResponse, have: int) -> int | None:
    """How many bytes the file has in all; None where only its end will tell."""
    length = answer.headers.get("Content-Length")
    if length is not None:
        return have + int(length)
    if file.bytes is None and file.sha256 is None and not answer.chunked:
        raise DownloadError(f"{file.url}: the server does not say how long it is, so nobody could tell whether it came whole")
    return file.bytes


def _check_offer(file: Download, answer: http.client.HTTPResponse, partial: Path, have: int, total: int | None) -> None:
    """Refuse what is not the file of the catalogue, what cannot be trusted, and what does not fit on the disk."""
    if file.url.startswith("https:") and not answer.url.startswith("https:") and not file.sha256:
        raise DownloadError(f"{file.url}: leads to {answer.url}, without encryption, and no checksum is known; not fetched")
    if total is None:
        return
    if file.bytes not in (None, total):
        raise DownloadError(f"{file.url}: the server offers {total:,} bytes, the catalogue has {file.bytes:,}; not fetched")
    free = shutil.disk_usage(partial.parent).free
    if total - have > free:
        raise DownloadError(f"{partial.parent}: {total - have:,} bytes are still to come, {free:,} are free; make room")


def _wrong(file: Download, path: Path, report: Report) -> str:
    """What differs from the catalogue; empty if nothing does."""
    size = path.stat().st_size
    if file.bytes not in (None, size):
        return f"{size:,} bytes instead of {file.bytes:,}"
    if file.sha256 is None:
        return ""
    digest, done = hashlib.sha256(), 0
    with open(path, "rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            digest.update(block)
            done += len(block)
            report("checking", done, size)
    return "" if digest.hexdigest() == file.sha256 else f"SHA-256 {digest.hexdigest()} instead of {file.sha256}"


@contextlib.contextmanager
def _own(partial: Path) -> Iterator[RawIOBase]:
    """The part, for this process alone."""
    try:
        stream = open(partial, "ab", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise InputError(f"{partial}: {error.strerror}") from error
    with stream:
        if not locked(stream):
            raise DownloadError(f"{partial}: another process is fetching it")
        try:
            yield stream
        finally:
            if partial.exists() and partial.stat().st_size == 0:
                _forget(partial)


def _tag_path(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.tag")


def _tag(partial: Path) -> str:
    path = _tag_path(partial)
    return path.read_text(encoding="latin-1").strip() if path.is_file() else ""


def _remember(partial: Path, answer: http.client.HTTPResponse) -> None:
    """Note the version that is coming; a weak ETag tells nothing about bytes."""
    tag = answer.headers.get("ETag") or ""
    tag = answer.headers.get("Last-Modified") or "" if tag.startswith("W/") or not tag else tag
    _tag_path(partial).write_text(tag, encoding="latin-1")


def _forget(partial: Path) -> None:
    for path in (partial, _tag_path(partial)):
        path.unlink(missing_ok=True)

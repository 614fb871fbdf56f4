"""Download a file over HTTP: resume an interrupted download, check size and SHA-256.

A file has its own name only when it is complete; see partial_file.py.
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
from mpifl.datasets.catalogue.partial_file import (
    delete_partial,
    partial_path,
    read_tag,
    write_tag,
)
from mpifl.errors import InputError
from mpifl.io.files import locked

BLOCK_BYTES = 1 << 20
PAUSES_SECONDS = (1.0, 2.0)
"""Pauses before each retry after attempts that brought no bytes; after the last one it fails."""

Report = Callable[[Literal["fetching", "checking"], int, int | None], None]
"""Called with the current step, bytes so far and bytes in all (None: unknown)."""
Outcome = Literal["fetched", "was there"]


class DownloadError(Exception):
    """A file could not be downloaded: one line with the reason and what to do. Exit status 1."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class _CutOffError(Exception):
    """The server or the network failed; a retry may succeed."""


def fetch(
    file: Download,
    folder: Path,
    report: Report,
    *,
    pauses_seconds: tuple[float, ...] = PAUSES_SECONDS,
    timeout_seconds: float = 30.0,
) -> Outcome:
    """Download ``file`` into ``folder``, which exists. A file that exists is checked and kept.

    Raises DownloadError, and InputError where the existing file is not the one of the catalogue.
    """
    final = folder / file.name
    partial = partial_path(final)
    if final.exists():
        difference = _difference(file, final, report)
        if difference:
            raise InputError(
                f"{final}: is there already, with {difference};"
                " move it away and run the command again"
            )
        return "was there"

    with _opened(partial) as stream:
        try:
            _transfer(file, stream, partial, report, pauses_seconds, timeout_seconds)
            os.fsync(stream.fileno())
        except OSError as error:
            raise DownloadError(
                f"{partial}: {error.strerror}; make room and run the same command again to continue"
            ) from error

        difference = _difference(file, partial, report)
        if difference:
            delete_partial(partial)
            raise DownloadError(f"{file.url}: came with {difference}; not kept")
        partial.replace(final)
        delete_partial(partial)  # its tag
    return "fetched"


def here_bytes(file: Download, folder: Path) -> int:
    """Return how many bytes of a file are in the folder, complete or partial."""
    final = folder / file.name
    paths = (final, partial_path(final))
    return next((path.stat().st_size for path in paths if path.is_file()), 0)


def _transfer(
    file: Download,
    stream: RawIOBase,
    partial: Path,
    report: Report,
    pauses_seconds: tuple[float, ...],
    timeout_seconds: float,
) -> None:
    """Retry until the file is complete; fail when all pauses passed without a new byte."""
    pauses = list(pauses_seconds)
    farthest = stream.seek(0, os.SEEK_END)
    while True:
        try:
            return _attempt(file, stream, partial, report, timeout_seconds)
        except _CutOffError as error:
            have = stream.seek(0, os.SEEK_END)
            if have > farthest:
                pauses = list(pauses_seconds)
                farthest = have
            if not pauses:
                kept = f" ({have:,} bytes are in {partial.name})" if have else ""
                raise DownloadError(
                    f"{file.url}: {error}{kept}; run the same command again to continue"
                ) from error
            time.sleep(pauses.pop(0))


def _attempt(
    file: Download, stream: RawIOBase, partial: Path, report: Report, timeout_seconds: float
) -> None:
    """Make one request for what is missing. Returns when the file is complete."""
    have = stream.seek(0, os.SEEK_END)
    tag = read_tag(partial)
    if have and not (tag or file.sha256):
        have = 0  # neither tag nor checksum could show that the rest is of the same version
    if have and have == file.bytes:
        return

    with _response(_request(file, have, tag), timeout_seconds) as response:
        if response.status == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            if response.headers.get("Content-Range") == f"bytes */{have}":
                return
            stream.truncate(0)
            raise _CutOffError("the server has fewer bytes than are here")

        if response.status != http.client.PARTIAL_CONTENT:
            have = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise DownloadError(
                f"{file.url}: the server sends another part of the file than was asked for"
            )

        total = _total_bytes(file, response, have)
        _check_response(file, response, partial, have, total)
        stream.truncate(have)
        if have == 0:
            write_tag(partial, response.headers)
        for block in _blocks(response):
            have += _write(stream, block)
            report("fetching", have, total)

    if total is not None and have < total:
        raise _CutOffError(f"the connection ended after {have:,} of {total:,} bytes")


def _request(file: Download, have: int, tag: str) -> urllib.request.Request:
    """Return the request for the bytes from ``have`` on, of version ``tag`` if that is known."""
    headers = {"User-Agent": f"mpifl/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if tag:
            headers["If-Range"] = tag
    return urllib.request.Request(file.url, headers=headers)  # noqa: S310  (Download.url: http only)


@contextlib.contextmanager
def _response(
    request: urllib.request.Request, timeout_seconds: float
) -> Iterator[http.client.HTTPResponse]:
    """Yield the server's response: status 200, 206 or 416.

    Raises _CutOffError for errors that may be temporary, DownloadError for the others.
    """
    try:
        response = urllib.request.urlopen(request, timeout=timeout_seconds)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            message = f"the server answers {error.code} {error.reason}"
            if error.code in (408, 429) or error.code >= 500:
                raise _CutOffError(message) from error
            raise DownloadError(f"{request.full_url}: {message}") from error
        response = error
    except urllib.error.URLError as error:
        raise _CutOffError(str(getattr(error.reason, "strerror", None) or error.reason)) from error
    except (http.client.HTTPException, OSError) as error:
        raise _CutOffError(str(error) or type(error).__name__) from error

    with response:
        yield response


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the response's bytes as they arrive."""
    while True:
        try:
            block = response.read1(BLOCK_BYTES)
        except (http.client.HTTPException, OSError) as error:
            raise _CutOffError(str(error) or type(error).__name__) from error
        if not block:
            return
        yield block


def _write(stream: RawIOBase, block: bytes) -> int:
    """Write the whole block; return its size."""
    done = 0
    while done < len(block):
        done += stream.write(block[done:]) or 0
    return done


def _total_bytes(file: Download, response: http.client.HTTPResponse, have: int) -> int | None:
    """Return the size of the whole file; None where only the end of the response will tell."""
    length = response.headers.get("Content-Length")
    if length is not None:
        return have + int(length)

    if file.bytes is None and file.sha256 is None and not response.chunked:
        raise DownloadError(
            f"{file.url}: the server does not say how long the file is,"
            " so it could not be checked for completeness"
        )
    return file.bytes


def _check_response(
    file: Download,
    response: http.client.HTTPResponse,
    partial: Path,
    have: int,
    total: int | None,
) -> None:
    """Raise DownloadError if the response is unencrypted, of the wrong size, or too large."""
    unencrypted = file.url.startswith("https:") and not response.url.startswith("https:")
    if unencrypted and not file.sha256:
        raise DownloadError(
            f"{file.url}: leads to {response.url}, without encryption,"
            " and no checksum is known; not fetched"
        )
    if total is None:
        return

    if file.bytes not in (None, total):
        raise DownloadError(
            f"{file.url}: the server offers {total:,} bytes,"
            f" the catalogue has {file.bytes:,}; not fetched"
        )
    free = shutil.disk_usage(partial.parent).free
    if total - have > free:
        raise DownloadError(
            f"{partial.parent}: {total - have:,} bytes are still to come,"
            f" {free:,} are free; make room"
        )


def _difference(file: Download, path: Path, report: Report) -> str:
    """Return how a downloaded file differs from the catalogue; empty if it does not."""
    size = path.stat().st_size
    if file.bytes not in (None, size):
        return f"{size:,} bytes instead of {file.bytes:,}"
    if file.sha256 is None:
        return ""

    digest = hashlib.sha256()
    done = 0
    with open(path, "rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            digest.update(block)
            done += len(block)
            report("checking", done, size)
    sha256 = digest.hexdigest()
    return "" if sha256 == file.sha256 else f"SHA-256 {sha256} instead of {file.sha256}"


@contextlib.contextmanager
def _opened(partial: Path) -> Iterator[RawIOBase]:
    """Yield the partial file, locked for this process; delete it at the end if it is empty."""
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
                delete_partial(partial)

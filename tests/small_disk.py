"""Real file systems of a few MiB, for what happens when a disk is full."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

KINDS = "tmpfs", "ext4"
PAGE = 4096
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")


@dataclass(frozen=True)
class Disk:
    """A file system of its own."""

    folder: Path

    def leave(self, free_bytes: int) -> None:
        """Fill it, but for so much. Others may be at it too."""
        with open(self.folder / "filler", "ab", buffering=0) as file, contextlib.suppress(OSError):
            while (pages := (self.free_bytes - free_bytes) // PAGE) > 0:
                for _ in range(pages):
                    file.write(bytes(PAGE))
                os.fsync(file)  # until then ext4 has only reckoned what it takes

    @property
    def free_bytes(self) -> int:
        """How much there is."""
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def make_room(self) -> None:
        """Take away what fills it."""
        (self.folder / "filler").unlink()


Mount = Callable[[str, int], Disk]


def mounts(folder: Path) -> Iterator[Mount]:
    """For a fixture: a function that mounts a file system of a kind and a size in bytes below ``folder``; all go at the end."""
    mounted: list[Path] = []

    def mount(kind: str, size: int) -> Disk:
        place = folder / f"{kind}-{len(mounted)}"
        place.mkdir()
        line = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)]
        if kind == "ext4":
            image = place.with_suffix(".img")
            image.write_bytes(b"")
            os.truncate(image, size)
            make = shutil.which("mkfs.ext4", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
            if (
                make is None
                or subprocess.run([make, "-q", "-F", "-m", "0", str(image)], check=False).returncode
            ):
                pytest.skip("cannot make an ext4 here")
            line = ["mount", "-o", "loop", str(image), str(place)]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"cannot mount {kind} here: {done.stderr.strip()}")
        mounted.append(place)
        return Disk(place)

    yield mount
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


def mounting(test: Callable[..., None]) -> Callable[..., None]:
    """A test that mounts, and takes ``request``: who is not root runs it as root of a user namespace, where that is allowed."""

    @functools.wraps(test)
    def run(*arguments: Any, request: pytest.FixtureRequest, **named: Any) -> None:
        if os.geteuid() == 0:
            test(*arguments, request=request, **named)
            return
        if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode:
            pytest.skip("cannot mount here: neither root nor allowed a user namespace")
        line = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-rs",
            "-n",
            "0",
            "-p",
            "no:cacheprovider",
            request.node.nodeid,
        ]
        root = request.config.rootpath
        done = subprocess.run(
            [*NAMESPACE, *line], cwd=root, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout
        if " skipped" in done.stdout:
            pytest.skip(
                next(text for text in done.stdout.splitlines() if text.startswith("SKIPPED"))
            )

    return run

"""Files of others that are recognised by their content: FedScale's two traces, as published."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mpifl.io.compressed import read_bytes

PUBLISHED = (
    "0cb98be00fac42c6b961cae0dbc1a6c25be88828",  # client_device_capacity, 500,000 devices
    "5bc3b516c0ee0a0de2c6267e39cd863717d5a63b",  # client_behave_trace, 107,749 clients
)
"""Git's blob hashes of the files in benchmark/dataset/data/device_info of FedScale's repository.

REFL and others have the same files."""
SHOWN_DIGITS = 12


def git_blob(path: Path) -> str:
    """Return the hash that git gives a file: SHA-1 of "blob", the size, a zero byte, the bytes.

    That of ``git hash-object``; of a compressed file it is that of its content.
    """
    content = read_bytes(path)
    head = f"blob {len(content)}\0".encode()
    return hashlib.sha1(head + content, usedforsecurity=False).hexdigest()


def recognised(path: Path) -> tuple[str, str]:
    """Return the name of a file of FedScale's as ``Trace.source`` has it, and a note for the user.

    Both say whether it is the published one.
    """
    blob = git_blob(path)
    if blob in PUBLISHED:
        fact = f"as published, git blob {blob[:SHOWN_DIGITS]}"
        return f"{path.name} ({fact})", f"{path.name}: {fact}"
    return path.name, f"{path.name}: not the published file (git blob {blob[:SHOWN_DIGITS]})"

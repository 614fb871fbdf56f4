"""An environment for each framework: a folder made by venv and pip from the versions in requirements/NAME.txt.

``python -m benchmarks.peers.environments [NAME ...] [--environments DIR]`` makes them; so does a measurement that lacks one.
Torch is to be a CPU build, since the packages of CUDA are not among the versions: pip has to find one, from the index that it
is configured for or with ``PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mpifl.commands.exits import wrong_input_ends
from mpifl.errors import InputError
from mpifl.io.files import cache_path

REQUIREMENTS = Path(__file__).parent / "requirements"
STUBS = Path(__file__).parent / "stubs"
RANKS = (
    "{bin}/mpirun",
    "--allow-run-as-root",
    "--oversubscribe",
    "--bind-to",
    "none",
    "-n",
    "{ranks}",
    "{bin}/python",
)
DONE = "whole"


class NotInstalledError(Exception):
    """A framework does not install here; the message says why, in a line."""


@dataclass(frozen=True)
class Peer:
    """How a driver is started: ``launcher`` with the environment's {bin}, {processes} at work and {ranks}, one more; then -m.

    ``own``: it has an environment of its own. ``stubs``: folders of stubs/ that stand in for packages there.
    """

    name: str
    launcher: tuple[str, ...]
    own: bool = True
    stubs: tuple[str, ...] = ()

    def line(self, folder: Path, processes: int, order: Path) -> list[str]:
        """The command that runs the driver on an order's file."""
        places = {
            "bin": str(self.bin(folder)),
            "processes": str(processes),
            "ranks": str(processes + 1),
        }
        return [
            *(part.format(**places) for part in self.launcher),
            "-m",
            f"benchmarks.peers.{self.name}",
            str(order),
        ]

    def bin(self, folder: Path) -> Path:
        """Where the environment's programs are."""
        return (folder / self.name if self.own else Path(sys.prefix)) / "bin"


PEERS = {
    peer.name: peer
    for peer in (
        Peer("floor", ("{bin}/python",), own=False),
        Peer("ours", ("{bin}/python",), own=False),
        Peer("pfl", ("{bin}/torchrun", "--standalone", "--nproc-per-node={processes}")),
        Peer("fedml", RANKS, stubs=("torchvision",)),
        Peer("flower", ("{bin}/python",)),
        Peer("appfl", RANKS, stubs=("torchvision",)),
    )
}


def default_folder() -> Path:
    """Where environments are unless told otherwise."""
    return cache_path() / "peers"


def ensure(peer: Peer, folder: Path) -> None:
    """Make a peer's environment unless it is there. Raises NotInstalledError."""
    here = folder / peer.name
    wanted = (REQUIREMENTS / f"{peer.name}.txt").read_text() if peer.own else ""
    if not peer.own or ((here / DONE).is_file() and (here / DONE).read_text() == wanted):
        return
    shutil.rmtree(here, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    print(f"making {here} ...", file=sys.stderr, flush=True)
    _run([sys.executable, "-m", "venv", str(here)])
    # What is pinned is the whole environment; pip need not, and for FedML's contradictory wishes must not, resolve it.
    _run(
        [
            str(here / "bin" / "pip"),
            "install",
            "-q",
            "--no-deps",
            "-r",
            str(REQUIREMENTS / f"{peer.name}.txt"),
        ]
    )
    packages = next((here / "lib").glob("python3*/site-packages"))
    for stub in peer.stubs:
        shutil.copytree(STUBS / stub, packages / stub, dirs_exist_ok=True)
    (here / DONE).write_text(wanted)


def _run(line: list[str]) -> None:
    done = subprocess.run(
        line,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    if done.returncode:
        said = [text for text in (done.stderr or done.stdout).splitlines() if text.strip()]
        wrong = (
            [text for text in said if text.startswith("ERROR")]
            or said
            or [f"status {done.returncode}"]
        )
        raise NotInstalledError(wrong[-1].strip())


def main(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Frameworks; default: all.")
    ] = None,
    environments: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Default: peers in mpifl's cache.")
    ] = None,
) -> None:
    """Make the environments of frameworks."""
    with wrong_input_ends():
        folder, failed = environments or default_folder(), False
        for peer in find_peers(",".join(names) if names else ",".join(PEERS)):
            try:
                ensure(peer, folder)
            except NotInstalledError as error:
                print(f"{peer.name} does not install: {error}", file=sys.stderr)
                failed = True
    sys.exit(int(failed))


def find_peers(names: str) -> list[Peer]:
    """Peers by their names, with commas between. Raises InputError."""
    wrong = [name for name in names.split(",") if name not in PEERS]
    if wrong:
        raise InputError(f"--with: {wrong[0]!r} is not known; allowed: {', '.join(PEERS)}")
    return [PEERS[name] for name in dict.fromkeys(names.split(","))]


if __name__ == "__main__":
    typer.run(main)

"""Texts by whoever wrote or speaks them: what comes next is to be predicted."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.importers.patterns import has_group
from mpifl.datasets.importers.sequences import windows
from mpifl.datasets.importers.speeches import ROLES, Layout, Script
from mpifl.datasets.importers.streams import check_encoding
from mpifl.datasets.importers.vocabulary import characters, words
from mpifl.datasets.store import Store
from mpifl.errors import InputError

AT_ONCE = 1 << 12  # samples handed over together
LEAST_SPOKEN = 0.25  # of a play's paragraphs: two thirds and more are speeches, the rest are headings and what happens


class Text(Importer):
    """Texts of many people, cut into samples of tokens whose next one is to be predicted.

    plays: a speech is a paragraph whose first line is ``ROLE.``; a client is a role of a play, which is a file. roles: the
    same with ``Role:``; a client is a role. tsv: a line is client, tab, text. lines: a file is a client. Sources are files, or
    folders of them. A client's texts follow each other, with a line break between; roles are in upper case. Paragraphs that
    nobody speaks are left out and counted.
    """

    layout: Layout = Field(description="how the texts are laid out")
    role: str | None = Field(None, description="plays, roles: regular expression with a group role for a speech's first line")
    tokens: Literal["characters", "words"] = Field("characters", description="what a token is: a character, a lower-case word")
    vocabulary: int = Field(10_000, ge=3, description="words: how many token ids at most, the unknown word's among them")
    length: int = Field(80, ge=1, description="tokens to read in a sample, which has one more; a client's last may be shorter")
    encoding: str = Field("utf-8", description="of the files, such as latin-1")
    skip_other: bool = Field(False, description="plays, roles: leave out files in another layout, instead of refusing them")
    skip_empty: bool = Field(False, description="leave out clients with fewer than two tokens, instead of refusing them")

    @field_validator("role")
    @classmethod
    def _names_role(cls, pattern: str | None) -> str | None:
        return pattern and has_group(pattern, "role")

    @field_validator("encoding")
    @classmethod
    def _is_encoding(cls, name: str) -> str:
        return check_encoding(name)

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """See Importer. Three passes: which files are in this layout, the vocabulary of the train part, the samples."""
        if self.role is not None and self.layout not in ROLES:
            raise InputError(f"--role: {self.role!r}: --layout {self.layout} does not take it; allowed: {', '.join(ROLES)}")
        script = Script(self.layout, self.role or ROLES.get(self.layout, ""), self.encoding)
        said: list[str] = []
        files = {part: self._files(script, paths, said) for part, paths in sources.items()}
        texts = (text for _, text, _ in _texts(script, files["train"], set()))
        vocabulary = characters(texts) if self.tokens == "characters" else words(texts, self.vocabulary)
        for part, paths in files.items():
            seen: set[str] = set()
            cut = Cut(self.length)
            held: list[tuple[str, np.ndarray]] = []
            for client, text, where in _texts(script, paths, seen):
                held += [(client, ids) for ids in cut.add(client, vocabulary.encode(text))]
                if len(held) >= AT_ONCE:
                    _store(store, part, held, where)
                    held.clear()
            _store(store, part, held + cut.rest(), str(paths[0]))
            self._check_empty(part, sorted(seen - cut.clients), said)
        first = sources["train"][0]
        return Description(
            name=first.resolve().name.partition(".")[0],
            outputs=len(vocabulary),
            source=f"{first.name}: {self.layout}, {self.tokens}, samples of {self.length} tokens and the next"
            + "".join(f"; {what}" for what in said),
            licence="as its source says",
            task="language",
            vocabulary=len(vocabulary),
            tokens=vocabulary.tokens,
        )

    def _files(self, script: Script, paths: list[Path], said: list[str]) -> list[Path]:
        """The files in this layout; what is left out is added to ``said``. Raises InputError for the first that is not."""
        found: list[Path] = []
        nobodys = 0
        for path in itertools.chain.from_iterable(map(_files_in, paths)):
            spoken, nobody = script.count(path)
            if spoken < max(1, LEAST_SPOKEN * (spoken + nobody)):
                message = f"{path}: {spoken} of {spoken + nobody} paragraphs are speeches"
                if self.layout not in ROLES:
                    raise InputError(message)
                if not self.skip_other:
                    remedies = "--role says how roles are written, --skip-other leaves such files out"
                    raise InputError(f"{message}, by {script.role!r}; {remedies}")
                said.append(f"{path.name} is laid out otherwise and left out")
                continue
            twin = next((other for other in found if self.layout in ("plays", "lines") and other.stem == path.stem), None)
            if twin is not None:
                raise InputError(f"{path}: {path.stem!r} is there already: {twin}")
            found.append(path)
            nobodys += nobody
        if not found:
            raise InputError(f"{paths[0]}: no file there in the layout {self.layout}")
        if nobodys:
            said.append(f"{nobodys} paragraphs that nobody speaks are left out")
        return found

    def _check_empty(self, part: str, empty: list[str], said: list[str]) -> None:
        if not empty:
            return
        names = ", ".join(map(repr, empty[:10])) + (", ..." if len(empty) > 10 else "")
        if not self.skip_empty:
            raise InputError(f"{part}: {len(empty)} clients have fewer than two tokens: {names}; --skip-empty leaves them out")
        said.append(f"{part}: {len(empty)} clients with fewer than two tokens are left out: {names}")


class Cut:
    """Texts of many clients, which come in by turns, cut as ``windows`` cuts the whole text of one.

    A window begins with the last token of the one before. At most ``length`` tokens of a client wait for those that follow.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._waiting: dict[str, np.ndarray] = {}
        self.clients: set[str] = set()
        """Those who have a window."""

    def add(self, client: str, ids: np.ndarray) -> list[np.ndarray]:
        """The windows (length + 1,) that are now complete."""
        waiting = self._waiting.get(client)
        ids = ids if waiting is None else np.concatenate([waiting, ids])
        full = max(0, (len(ids) - 1) // self._length)
        self._waiting[client] = ids[full * self._length :].copy()
        if full:
            self.clients.add(client)
        return windows(ids[: full * self._length + 1], self._length) if full else []

    def rest(self) -> list[tuple[str, np.ndarray]]:
        """The last, shorter window of each client that has one: two tokens or more."""
        found = [(client, ids) for client, ids in self._waiting.items() if len(ids) > 1]
        self.clients.update(client for client, _ in found)
        return found


def _texts(script: Script, files: list[Path], seen: set[str]) -> Iterator[tuple[str, str, str]]:
    """Client, text and where it is; all but a client's first text begin with a line break. ``seen`` takes in the clients."""
    begun: set[str] = set()
    for path in files:
        for client, text, line in script.speeches(path):
            if client is None:
                continue
            seen.add(client)
            if text:
                yield client, ("\n" if client in begun else "") + text, f"{path}: line {line}"
                begun.add(client)


def _store(store: Store, part: str, held: list[tuple[str, np.ndarray]], where: str) -> None:
    if held:
        store.add(part, [client for client, _ in held], [ids for _, ids in held], where=where)


def _files_in(path: Path) -> list[Path]:
    """The file, or the files of a folder, but for hidden ones. Raises InputError when there are none."""
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    if not found:
        raise InputError(f"{path}: no files there")
    return found

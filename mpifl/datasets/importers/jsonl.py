"""Prompts and responses in JSON lines, from which a language model learns to respond."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, field_validator

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.importers.patterns import client_name, with_group
from mpifl.datasets.importers.tokenizer import Tokenizer, read_tokenizer
from mpifl.datasets.store import Store
from mpifl.errors import InputError, counted
from mpifl.io.text import text_lines

AT_ONCE = 1 << 10
"""Samples handed to the store at once."""


class Jsonl(Importer):
    """JSON lines: a line is an object with a prompt and a response, or with a text alone.

    A sample is the tokens of the prompt, the response and the token that ends it. The tokens of the
    prompt are given: they are in no loss and no score. `prompt` and `response` are texts in which
    {NAME} stands for a value of the object. Samples are cut at `length` tokens; those whose prompt
    is as long are left out and counted. With `rejected` a sample is two such sequences, the chosen
    response first, padded to `length`. Without a client all samples belong to one client "all",
    and a partitioner of the job distributes them. Files may be compressed (.gz, .xz).
    """

    response: str = Field(description="what is to be said, such as '{output}'")
    prompt: str = Field("", description="what it is said to, such as '{instruction}'")
    rejected: str = Field(
        "", description="a worse response, such as '{rejected}'; makes a data set of preferences"
    )
    client: str = Field("", description="name of the value that is the client")
    client_pattern: Annotated[str | None, with_group("client")] = Field(
        None,
        description="regular expression with a group client: on the value of --client, or without"
        " it on the file's path as it was given",
    )
    tokenizer: Path = Field(description="a tokenizer.json, or a folder with one")
    length: int = Field(512, ge=2, description="most tokens of a sample")

    @field_validator("prompt", "response", "rejected")
    @classmethod
    def _is_template(cls, text: str) -> str:
        _names(text)
        return text.replace("\\n", "\n")

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """Read the files in one pass."""
        tokenizer = read_tokenizer(self.tokenizer)
        left_out = 0
        for part, paths in sources.items():
            pending: list[tuple[str, np.ndarray, int]] = []
            for path in paths:
                for number, line in text_lines(path):
                    if not line.strip():
                        continue
                    where = f"{path}: line {number}"
                    sample = self._sample(tokenizer, _object(line, where), path, where)
                    left_out += sample is None
                    pending += [] if sample is None else [sample]
                    if len(pending) == AT_ONCE:
                        _store(store, part, pending, where)
                _store(store, part, pending, str(path))

        first = sources["train"][0]
        cut = f"; {counted(left_out, 'sample')} with long prompts left out" if left_out else ""
        return Description(
            name=first.name.partition(".")[0],
            outputs=tokenizer.size,
            source=f"{first.name}: {self.prompt!r}, {self.response!r}, tokens of"
            f" {self.tokenizer.name}, length {self.length}{cut}",
            licence="as its source says",
            task="preference" if self.rejected else "language",
            vocabulary=tokenizer.size,
            tokens=tokenizer.tokens,
        )

    def _sample(
        self, tokenizer: Tokenizer, value: dict[str, Any], path: Path, where: str
    ) -> tuple[str, np.ndarray, int] | None:
        """Return client, tokens and how many of them are given; None where no other is left."""
        prompt = _filled(self.prompt, value, where)
        response = _filled(self.response, value, where)
        client = self._client(value, path, where)
        ids, given = tokenizer.encode(prompt, response)
        ids = ids[: self.length]
        if given >= len(ids):
            return None
        if not self.rejected:
            return client, ids, given
        worse, _ = tokenizer.encode(prompt, _filled(self.rejected, value, where))
        pair = np.full((2, self.length), tokenizer.size, np.int32)
        for row, tokens in zip(pair, (ids, worse[: self.length]), strict=True):
            row[: len(tokens)] = tokens
        return client, pair, given

    def _client(self, value: dict[str, Any], path: Path, where: str) -> str:
        name = str(_value(value, self.client, where)) if self.client else None
        return client_name(self.client_pattern, str(path), name, where)


def _store(store: Store, part: str, pending: list[tuple[str, np.ndarray, int]], where: str) -> None:
    """Hand samples to the store, and forget them."""
    if pending:
        clients, ids, counts = zip(*pending, strict=True)
        given = np.array(counts, np.int64)
        if ids[0].ndim == 2:
            store.add(part, clients, np.stack(ids), given[:, None].astype(np.float32), where=where)
        else:
            store.add(part, clients, ids, given, where=where)
        pending.clear()


def _object(line: str, where: str) -> dict[str, Any]:
    """Return the object of a line. Raises InputError."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else "it cannot be read"
        raise InputError(f"{where}: not JSON ({why}); expected an object on each line") from error
    if not isinstance(value, dict):
        raise InputError(f"{where}: {line[:40]!r}: expected an object in braces")
    return value


def _names(text: str) -> Iterator[tuple[str, str | None]]:
    """Return the pieces of a template: text, and the name that follows it. Raises ValueError."""
    pieces = [*string.Formatter().parse(text)]
    for _, name, form, conversion in pieces:
        if name is not None and (not name or form or conversion):
            raise ValueError("braces need a name alone between them; {{ and }} stand for braces")
    return iter((before, name) for before, name, _, _ in pieces)


def _filled(text: str, value: dict[str, Any], where: str) -> str:
    """Return a template with the values of an object. Raises InputError for one that is missing."""
    return "".join(
        before + ("" if name is None else str(_value(value, name, where)))
        for before, name in _names(text)
    )


def _value(value: dict[str, Any], name: str, where: str) -> str | int | float:
    """Return a text or a number of an object. Raises InputError."""
    if name not in value:
        raise InputError(f"{where}: it has no {name!r}; it has {', '.join(value)}")
    found = value[name]
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        kind = type(found).__name__
        raise InputError(f"{where}: {name!r} is of type {kind}; expected a text or a number")
    return found

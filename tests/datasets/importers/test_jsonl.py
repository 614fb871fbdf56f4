"""JSON lines with prompts and responses: the library's own token ids, and prompts that are no targets."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mpifl.datasets.dataset import open_dataset, picked
from mpifl.datasets.importers.jsonl import Jsonl
from mpifl.objectives.objective import IGNORED
from mpifl.training.samples import pool_of
from tests.datasets.importers.importing import command, imported, refusal, samples_of
from tests.known import known
from tests.models.library import library

LINES = [
    {"who": "b", "ask": "to be", "say": "or not to be"},
    {"who": "a", "ask": "not", "say": "be", "more": None},
    {"who": "b", "ask": "or not or not or not", "say": "to"},
]


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """A folder with a tokenizer of bytes' pairs, which begins each text with <s>."""
    tokenizers = library("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<unk>", "<s>", "<stop>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )
    made.train_from_iterator(["to be or not to be"] * 9, trainer)
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<stop>"}))
    return folder


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES) + "\n")
    return path


def options(tokenizer: Path, **more: object) -> Jsonl:
    facts = {"prompt": "{ask}:", "response": " {say}", "client": "who", "tokenizer": tokenizer}
    return Jsonl.model_validate({**facts, **more})


def test_token_ids_are_the_librarys_and_the_prompt_is_given(
    tokenizer: Path, lines: Path, tmp_path: Path
) -> None:
    theirs = library("tokenizers").Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    data = imported(options(tokenizer), tmp_path, lines)
    assert data.train.client.tolist() == [b"a", b"b"]
    found = [ids.tolist() for ids in samples_of(data.train, "b")]
    assert found == [
        [*theirs.encode("to be: or not to be").ids, 2],
        [*theirs.encode("or not or not or not: to").ids, 2],
    ]
    prompts = [theirs.encode(text).ids for text in ("not:", "to be:", "or not or not or not:")]
    assert known(data.train.y).tolist() == [len(ids) for ids in prompts]
    assert data.outputs == data.vocabulary == theirs.get_vocab_size()
    assert data.tokens[2] == b"<stop>"


def test_targets_are_those_of_the_response_alone(
    tokenizer: Path, lines: Path, tmp_path: Path
) -> None:
    data = imported(options(tokenizer), tmp_path, lines)
    x, y = pool_of(data, data.train).read(slice(0, 3))
    for row in range(3):
        given = int(known(data.train.y)[row])
        whole = data.train.x[known(data.train.begin)[row] : known(data.train.begin)[row + 1]]
        assert y[row][y[row] != IGNORED].tolist() == whole[given:].tolist()
        assert (y[row][: given - 1] == IGNORED).all()
        assert x[row, given - 1] == whole[given - 1]
    one = picked(data.train, np.array([2]))
    assert torch.equal(pool_of(data, one).read(slice(0, 1))[1][0], y[2][: one.longest - 1])


def test_long_samples_are_cut_and_those_with_long_prompts_left_out(
    tokenizer: Path, lines: Path, tmp_path: Path
) -> None:
    data = imported(options(tokenizer, length=6), tmp_path, lines)
    assert data.train.longest == 6
    assert data.train.samples == 2
    assert "1 sample with long prompts left out" in data.source
    plain = imported(options(tokenizer, prompt="", client=""), tmp_path, lines)
    assert plain.train.client.tolist() == [b"all"]
    assert known(plain.train.y).tolist() == [1, 1, 1]  # what begins every text


def test_a_part_of_a_value_or_of_the_path_is_the_client(
    tokenizer: Path, lines: Path, tmp_path: Path
) -> None:
    part = options(tokenizer, client="ask", client_pattern=r"^(?P<client>\w+)")
    assert imported(part, tmp_path, lines).train.client.tolist() == [b"not", b"or", b"to"]
    path = options(tokenizer, client="", client_pattern=r"(?P<client>\w+)\.jsonl$")
    assert imported(path, tmp_path, lines).train.client.tolist() == [b"lines"]
    part = options(tokenizer, client="who", client_pattern="(?P<client>b)")
    said = refusal(part, tmp_path / "out", lines)
    assert said == f"{lines}: line 2: 'a': no client by the pattern '(?P<client>b)'"


@pytest.mark.parametrize("template", ["{}", "{say!r}", "{say:>9}", "{say", "say}"])
def test_a_template_has_names_alone_in_its_braces(template: str) -> None:
    with pytest.raises(ValidationError):
        options(Path("tokenizer"), response=template)
    assert options(Path("tokenizer"), response="{{}} {say}").response == "{{}} {say}"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 1: not JSON (Expecting property name"),
        ("[1]", "line 1: '[1]': expected an object in braces"),
        ('{"ask": "a"}', "line 1: it has no 'say'; it has ask"),
        ('{"ask": "a", "say": [1]}', "line 1: 'say' is of type list; expected a text or a number"),
    ],
)
def test_a_wrong_line_is_told(tokenizer: Path, tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "wrong.jsonl"
    path.write_text(line + "\n")
    assert said in refusal(options(tokenizer), tmp_path / "out", path)


def test_the_command_makes_a_data_set(tokenizer: Path, lines: Path, tmp_path: Path) -> None:
    arguments = ["--response", " {say}", "--prompt", "{ask}:", "--tokenizer", str(tokenizer)]
    status, said = command(tmp_path / "out", "jsonl", str(lines), *arguments)
    assert (status, open_dataset(tmp_path / "out" / "out.h5").train.samples) == (0, 3), said
    status, said = command(tmp_path / "no", "jsonl", str(lines), "--response", "{", *arguments[4:])
    assert status == 2
    arguments[-1] = str(tmp_path)
    status, said = command(tmp_path / "none", "jsonl", str(lines), *arguments)
    assert (status, "no file" in said) == (2, True)


def test_two_responses_make_a_preference(tokenizer: Path, lines: Path, tmp_path: Path) -> None:
    plain = imported(options(tokenizer, length=12), tmp_path, lines)
    (tmp_path / "imported.h5").unlink()
    data = imported(options(tokenizer, length=12, rejected=" to {say}"), tmp_path, lines)
    assert (data.task, data.train.x.shape[1:]) == ("preference", (2, 12))
    assert known(data.train.y)[:, 0].tolist() == known(plain.train.y).tolist()
    chosen = [row[row != data.vocabulary].tolist() for row in data.train.x[:, 0]]
    begin = known(plain.train.begin).tolist()
    assert chosen == [plain.train.x[a:b].tolist() for a, b in itertools.pairwise(begin)]
    assert (data.train.x[:, 0] != data.train.x[:, 1]).any(1).all()

"""Jobs drawn at random: parts and options from the job's schema, left out again until they go together.

No table says what goes with what: that is what the job's own checks are asked.
"""

from __future__ import annotations

import json
import random
import re
import warnings
from typing import Any

from mpifl.errors import InputError
from mpifl.job.component import COMPONENTS, find_part
from mpifl.job.schema import Training
from mpifl.job.section import Section
from mpifl.rounds.experiment.build_experiment import check_job
from tests.e2e import test_models, test_objectives
from tests.every_algorithm import OPTIONS

Job = list[str]
"""``[JOB, override, ...]``, as a command line has them."""

Schema = dict[str, Any]
"""The JSON schema of a value, or of a section."""

KINDS = {".".join(kind.path): kind for kind in COMPONENTS}

PARTS = {
    "algorithm": 0.75,
    "clock": 0.7,
    "selection": 0.5,
    "aggregation": 0.3,
    "attacks": 0.3,
    "exchange.up": 0.4,
    "exchange.down": 0.2,
    "privacy": 0.2,
    "secure_aggregation": 0.15,
    "contribution": 0.1,
    "training.optimizer": 0.25,
    "training.transform": 0.1,
    "protocol": 0.05,
}
"""The probability that a job draws one of a kind of parts; else it has the default."""

MOST = {"attacks": 2, "exchange.up": 3, "exchange.down": 2}
"""How many parts a list has at most."""

SECTIONS = {"evaluation": 0.15, "population.outages": 0.1, "clock.latency": 0.1, "record": 0.05}
"""The probability of each key in a section without a name."""

OPTION = 0.3
"""The probability that an option of a part is drawn; else it has its default."""

FIRST = ("rounds", "seed", "checkpoint.every")
"""What is not left out, whatever is refused."""

NOT_DRAWN = ("name", "mode", "path", "file", "seed", "initial", "loggers", "updates", "clients")
"""Options that name files, and those that the job below gives."""

DATA = (
    {"name": "iid", "clients": 30},
    {"name": "dirichlet", "clients": 20, "alpha": 0.1},
    {"name": "dirichlet", "clients": 100, "alpha": 5.0},
    {"name": "classes", "clients": 30},
    {"name": "power_law", "clients": 30},
    {"name": "shards", "clients": 20},
)
SPLITS = (
    {"by": "samples", "test": 0.3},
    {"by": "samples", "test": 0.3, "validation": 0.2},
    {"by": "clients", "test": 0.2, "validation": 0.1},
)
MODELS = (
    {"name": "logreg"},
    {"name": "mlp", "hidden": [16, 8]},
    {"name": "mlp", "hidden": [32], "lora": {"rank": 2, "alpha": 2}},
    {"name": f"{test_models.__file__.replace('e2e/test_models', 'normed')}:Normed", "hidden": [16]},
)
TASKS = (
    *(test_models.job(name) for name in ("lstm", "cnn1d", "dlrm", "trees", "autoencoder", "gan")),
    *(test_objectives.job(name) for name in test_objectives.JOBS if name != "preference"),
    *(["quickstart", f"algorithm={name}", *given] for name, given in OPTIONS.items()),
)
"""Jobs on other data than digits with a model that fits, and of algorithms that need something."""

TRIES = 60
"""How often something may be left out of a job."""


def drawn_job(seed: int) -> Job:
    """Return a job that mpifl accepts, drawn with ``seed``: quickstart with 4 to 6 rounds, changed."""
    r = random.Random(seed)
    job = [*_size(r), *_task(r), *_sections(r)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ["quickstart", *_accepted(r, job)]


def _size(r: random.Random) -> Job:
    return [
        f"rounds={r.randint(4, 6)}",
        f"seed={r.randrange(1000)}",
        f"checkpoint.every={r.randint(1, 2)}",
        f"selection.participants={r.choice((3, 5, 8))}",
    ]


def _task(r: random.Random) -> Job:
    """Return what is trained, and on what."""
    if r.random() < 0.3:
        return [one for one in r.choice(TASKS)[1:] if not one.startswith(("rounds", "selection"))]
    given = {
        "data.partition": r.choice(DATA),
        "model": r.choice(MODELS),
        "training": {
            "batch_size": r.choice((5, 10, 20)),
            "lr": r.choice((0.05, 0.1, 0.2)),
            **r.choice(({"epochs": 1}, {"epochs": 2}, {"local_steps": 3})),
            **_options(r, Training, 0.05),
        },
    }
    if r.random() < 0.6:
        given["data.split"] = r.choice(SPLITS)
    return [_override(key, value) for key, value in given.items()]


def _sections(r: random.Random) -> Job:
    """Return overrides that give parts and the sections that have no name."""
    job = [_override(key, _part(r, key)) for key, share in PARTS.items() if r.random() < share]
    job += [_override("population.clients", 200)] * (r.random() < 0.2)
    job += [_override("clock.costs", "measured")] * (r.random() < 0.1)
    for path, share in SECTIONS.items():
        schema = _at(path)
        drawn = _keys(r, schema, schema["$defs"], share)
        job += [_override(f"{path}.{key}", value) for key, value in drawn.items()]
    return job


def _at(path: str) -> Schema:
    """Return the JSON schema of a section of the job, with what it refers to."""
    from mpifl.clock.policies.sync import Sync
    from mpifl.job.schema import Job as JobSchema

    first, *rest = path.split(".")
    schema = (Sync if first == "clock" else JobSchema).model_json_schema()
    found = schema
    for key in rest if first == "clock" else [first, *rest]:
        found = found["properties"][key]
        if "$ref" in found:
            found = schema["$defs"][found["$ref"].rpartition("/")[2]]
    return {**found, "$defs": schema["$defs"]}


def _part(r: random.Random, path: str) -> Any:
    """Return a part of a kind, with options; a list of them where the job has a list."""
    kind = KINDS[path]
    if kind.several:
        return [_one(r, path, kind.item(0)) for _ in range(r.randint(1, MOST[path]))]
    return _one(r, path, kind)


def _one(r: random.Random, path: str, kind: Any) -> dict[str, Any]:
    name = r.choice([name for name in kind.registry() if name != "none"])
    part = {kind.key: name, **_options(r, find_part(kind, name)[0], OPTION)}
    if path == "attacks":
        part |= {"share": r.choice((0.2, 0.4))}
    if path == "clock":
        part = {key: value for key, value in part.items() if key not in ("latency", "battery")}
        given = {"concurrency": r.choice((5, 8, 12)), "seconds": 60.0, "window_seconds": 60.0}
        part |= {key: given[key] for key in given.keys() & part.keys()}
    return part


def _options(r: random.Random, kind: type[Section], share: float) -> dict[str, Any]:
    schema = kind.model_json_schema()
    return _keys(r, schema, schema.get("$defs", {}), share)


def _keys(r: random.Random, schema: Schema, defs: Schema, share: float) -> dict[str, Any]:
    """Return values for the keys that a section demands, and for a share of the others."""
    demanded = schema.get("required", ())
    drawn = {
        key: _value(r, one, defs)
        for key, one in schema.get("properties", {}).items()
        if key not in NOT_DRAWN and (r.random() < share or key in demanded)
    }
    return {key: value for key, value in drawn.items() if value is not NOT_DRAWN}


def _value(r: random.Random, schema: Schema, defs: Schema) -> Any:
    """Return a value that a key allows; NOT_DRAWN for what is not drawn, such as free text."""
    default = schema.get("default")
    if "$ref" in schema:
        schema = defs[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return _value(r, {**r.choice(schema["anyOf"]), "default": default}, defs)
    if "const" in schema or "enum" in schema:
        return r.choice(schema.get("enum", [schema.get("const")]))
    match schema.get("type"):
        case "null":
            return None
        case "boolean":
            return r.random() < 0.5
        case "integer":
            return int(_number(r, schema, default, (0, 1, 2, 5)))
        case "number":
            return round(_number(r, schema, default, (0.0, 0.1, 0.9, 1.0, 3.0)), 6)
        case "object" if "properties" in schema:
            return _keys(r, schema, defs, OPTION)
    return NOT_DRAWN


def _number(r: random.Random, schema: Schema, default: Any, usual: tuple[float, ...]) -> float:
    """Return a usual number, or one about the default, that is within the bounds."""
    around = () if not isinstance(default, int | float) else (default / 2, default, 2 * default)
    number = float(r.choice((*usual, *around)))
    lowest = [schema[key] for key in ("minimum", "exclusiveMinimum") if key in schema]
    highest = [schema[key] for key in ("maximum", "exclusiveMaximum") if key in schema]
    return min([max([number, *lowest]), *highest])


def _override(key: str, value: Any) -> str:
    return f"{key}={json.dumps(value)}"


def _accepted(r: random.Random, job: Job) -> Job:
    """Return the overrides without those that mpifl refuses, one after the other."""
    job = sorted(job, key=lambda one: (not one.startswith(FIRST), _key(one).count(".")))
    for _ in range(TRIES):
        try:
            check_job("quickstart", job)
        except InputError as error:
            job = _without(r, job, error.lines[0])
        else:
            return job
    raise AssertionError(f"{TRIES} times something of a job was refused: {job}")


def _without(r: random.Random, job: Job, line: str) -> Job:
    """Return the overrides without what an error is about: an option, or one of them whole."""
    key = line.removeprefix("command line: ").partition(":")[0]
    for place, one in enumerate(job):
        path, _, value = one.partition("=")
        option = key.removeprefix(f"{path}.")
        given = json.loads(value) if value.startswith('{"') else {}
        if option in given and option not in ("name", "mode"):
            del given[option]
            return [*job[:place], _override(path, given), *job[place + 1 :]]
    refused = r.choice(_named(job, key, line))
    return [one for one in job if one is not refused]


def _named(job: Job, key: str, line: str) -> Job:
    """Return those of the overrides that an error may be about; all if it names none."""
    free = [one for one in job if not one.startswith(FIRST)]
    exactly = [one for one in free if key.startswith(_key(one)) or _key(one).startswith(key)]
    words = {key, *re.findall(r"[a-z_]+(?:\.[a-z_]+)+", line)}
    sections = {word.partition(".")[0] for word in words}
    about = [one for one in free if _key(one).partition(".")[0] in sections]
    return [*exactly, *about] or free


def _key(override: str) -> str:
    return override.partition("=")[0]

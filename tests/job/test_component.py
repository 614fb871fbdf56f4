"""Components: one word runs through job key, file and class, and plug-ins are found."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mpifl.attacks import REGISTRY as ATTACKS
from mpifl.errors import InputError
from mpifl.job import Job, Section, dump_job, load_yaml, parse_job
from mpifl.job.component import COMPONENTS, Component, find_part

MINIMAL = {"rounds": 3, "model": "logreg", "selection": {"name": "uniform", "participants": 2}}
REQUIRED: dict[str, dict[str, Any]] = {
    "uniform": {"participants": 1},
    "deadline": {"seconds": 1.0},
    "semisync": {"concurrency": 2, "window_seconds": 1.0},
    "buffered": {"concurrency": 2},
    "compass": {"concurrency": 2, "least_steps": 1, "most_steps": 2},
    "async": {"concurrency": 2},
    "norm_bound": {"norm": 1.0},
    "torchvision": {"network": "resnet18"},
    "timm": {"network": "resnet18"},
    "hf": {"config": "gpt2"},
    "fltrust": {"root_samples": 10},
    "seq2seq": {"separator": 1},
    "translation": {"end": 1},
    **{name: {"share": 0.2} for name in ATTACKS},
    "edge_case": {"share": 0.2, "target": 1, "source": 0},
}
PRIVACY = {"none": {}, "nbafl": {"epsilon": 1.0, "samples": 10}}


def factor_of(job: Job) -> Any:
    """What the plug-in has and an Algorithm has not."""
    return vars(job.algorithm)["factor"]


def required(component: Component, name: str) -> dict[str, Any]:
    """The options that a part has to be given."""
    if component.path == ("privacy",):
        return PRIVACY.get(name, {"noise_multiplier": 1.0})
    return REQUIRED.get(name, {})


REGISTERED = [(component, name) for component in COMPONENTS for name in component.registry()]
NEED_A_METHOD = {
    "data.partition": ("deal",),
    "model": ("build",),
    "selection": ("choose",),
    "clock": ("settle", "advance"),
    "aggregation": ("aggregate",),
    "algorithm": ("server",),
}

PLUG_IN = """
from __future__ import annotations

from pydantic import Field

from mpifl.algorithms.algorithm import Algorithm


class Mine(Algorithm):
    \"\"\"Moves twice as far.\"\"\"

    factor: float = Field(2.0, gt=0)

    def server(self, s, mean):
        return {"model": s.state["model"] + self.factor * mean["update"]}


NOT_A_CLASS = 3


class Foreign:
    pass
"""


def named(case: Any) -> str | None:
    return case if isinstance(case, str) else case.key_path if isinstance(case, Component) else None


def job_with(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    raw: dict[str, Any] = dict(MINIMAL)
    inner = raw
    for part in path[:-1]:
        inner = inner.setdefault(part, {})
    inner[path[-1]] = value
    return raw


def section_at(job: Job, path: tuple[str, ...]) -> Section:
    found: Any = job
    for part in path:
        found = getattr(found, part)
    return found[0] if isinstance(found, tuple) else found


def only(component: Component) -> Component:
    """A component as it stands in a job that names one, which is the first where there can be several."""
    return component.item(0) if component.several else component


def refusal(raw: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        parse_job(raw)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# One word runs through


def test_every_part_of_a_job_that_is_chosen_by_name_is_listed() -> None:
    assert [component.key_path for component in COMPONENTS] == [
        "data.partition.name",
        "model.name",
        "objective.name",
        "protocol.name",
        "training.optimizer.name",
        "training.transform.name",
        "selection.name",
        "clock.mode",
        "algorithm.name",
        "aggregation.name",
        "privacy.name",
        "exchange.up.name",
        "exchange.down.name",
        "secure_aggregation.name",
        "contribution.name",
        "attacks.name",
        "record.loggers.name",
    ]


@pytest.mark.parametrize(("component", "name"), REGISTERED, ids=named)
def test_file_and_class_are_named_after_the_job_key(component: Component, name: str) -> None:
    found = find_part(component, name)[0]
    packages = [package for package in (component.package, component.more) if package]
    assert found.__module__.removesuffix("_") in [
        f"{package}.{name}" for package in packages
    ]  # async is a word of Python's, and None
    assert found.__name__.removesuffix("_").lower() == name.replace("_", "")


@pytest.mark.parametrize(("component", "name"), REGISTERED, ids=named)
def test_the_name_is_its_own_default(component: Component, name: str) -> None:
    assert find_part(component, name)[0].model_fields[component.key].default == name


@pytest.mark.parametrize(("component", "name"), REGISTERED, ids=named)
def test_the_job_gets_the_class_that_it_names(component: Component, name: str) -> None:
    given = {component.key: name} | required(component, name)
    section = section_at(parse_job(job_with(component.path, given)), component.path)
    assert isinstance(section, find_part(component, name)[0])
    assert getattr(section, component.key) == name


@pytest.mark.parametrize(("component", "name"), REGISTERED, ids=named)
def test_a_component_refuses_what_it_does_not_declare_and_cannot_change(
    component: Component, name: str
) -> None:
    given = {component.key: name} | required(component, name)
    path = ".".join(only(component).path)
    assert refusal(job_with(component.path, given | {"no_such_option": 1})).startswith(
        f"{path}.no_such_option: no such key"
    )
    section = section_at(parse_job(job_with(component.path, given)), component.path)
    with pytest.raises(AttributeError, match="never changes"):
        setattr(section, component.key, "other")


@pytest.mark.parametrize(("component", "name"), REGISTERED, ids=named)
def test_every_option_has_a_default_that_is_allowed_or_is_required(
    component: Component, name: str
) -> None:
    found = find_part(component, name)[0]
    values = found.model_validate(required(component, name)).model_dump()
    assert set(values) == set(found.model_fields)
    assert found.model_validate(values).model_dump() == values


@pytest.mark.parametrize("component", COMPONENTS, ids=named)
def test_every_component_in_the_package_is_registered(component: Component) -> None:
    packages = [package for package in (component.package, component.more) if package]
    for package in packages:
        for module_info in pkgutil.iter_modules(importlib.import_module(package).__path__):
            importlib.import_module(f"{package}.{module_info.name}")
    in_package = {
        f"{c.__module__}:{c.__name__}"
        for c in subclasses(Section)
        if c.__module__.rpartition(".")[0] in packages
    }
    fields = {where: class_of(where).model_fields for where in in_package}
    named_ones = {
        w
        for w, own in fields.items()
        if component.key in own and not own[component.key].is_required()
    }
    # Parts of a policy, and of protocols.
    named_ones -= {"mpifl.clock.staleness:Staleness", "mpifl.protocols.graph:Graph"}
    assert named_ones == set(component.registry().values())


def subclasses(cls: type[Section]) -> set[type[Section]]:
    return {cls} | {inner for child in cls.__subclasses__() for inner in subclasses(child)}


def class_of(where: str) -> type[Section]:
    module, _, name = where.partition(":")
    found: type[Section] = getattr(importlib.import_module(module), name)
    return found


def test_every_section_of_a_job_is_closed_and_frozen() -> None:
    job = parse_job(MINIMAL)
    for name in type(job).model_fields:
        section = getattr(job, name)
        if isinstance(section, Section):
            assert type(section).model_config["extra"] == "forbid", name
            assert type(section).model_config["frozen"], name
            assert not type(section).model_config["allow_inf_nan"], name


def test_importers_are_named_after_their_format() -> None:
    for name, where in importlib.import_module("mpifl.datasets.importers").REGISTRY.items():
        module, _, function = where.partition(":")
        assert module == f"mpifl.datasets.importers.{name}"
        assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("component", COMPONENTS, ids=named)
def test_an_unknown_name_lists_all_that_there_are(component: Component) -> None:
    with pytest.raises(InputError) as caught:
        find_part(component, "zzzzzz")[0]
    assert str(caught.value).startswith(f"{component.key_path}: 'zzzzzz' ")
    assert all(name in str(caught.value) for name in component.registry())


# Plug-ins


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.py"
    path.write_text(PLUG_IN)
    return path


def test_a_plug_in_is_found_and_its_file_is_absolute_in_the_dumped_job(
    plug_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = parse_job(MINIMAL | {"algorithm": {"name": "./mine.py:Mine", "factor": 3}})
    assert type(job.algorithm).__name__ == "Mine"
    assert factor_of(job) == 3.0
    text = dump_job(job)
    assert yaml.safe_load(text)["algorithm"] == {"name": f"{plug_in}:Mine", "factor": 3.0}
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert dump_job(parse_job(load_yaml(text))) == text


@pytest.mark.parametrize(
    "name",
    [
        "mine.py:Mine",
        "./mine.py:Mine",
        "../{folder}/mine.py:Mine",
        "{parent}/{folder}/mine.py:Mine",
    ],
)
def test_paths_of_a_plug_in(plug_in: Path, name: str) -> None:
    name = name.format(folder=plug_in.parent.name, parent=plug_in.parent.parent)
    assert parse_job(MINIMAL | {"algorithm": name}).algorithm.name == f"{plug_in}:Mine"


def test_options_of_a_plug_in_are_checked(plug_in: Path) -> None:
    assert refusal(MINIMAL | {"algorithm": {"name": "./mine.py:Mine", "factor": 0}}).startswith(
        "algorithm.factor: 0 "
    )
    message = refusal(MINIMAL | {"algorithm": {"name": "./mine.py:Mine", "facter": 1}})
    assert message == "algorithm.facter: no such key; did you mean algorithm.factor?"


def test_a_plug_in_of_an_importable_module(plug_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in.rename(plug_in.with_name("mine_importable.py"))
    monkeypatch.syspath_prepend(str(plug_in.parent))
    job = parse_job(MINIMAL | {"algorithm": "mine_importable:Mine"})
    assert job.algorithm.name == "mine_importable:Mine"
    assert factor_of(job) == 2.0


def test_two_plug_ins_of_one_file_name_are_two(plug_in: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.py").write_text(PLUG_IN.replace("2.0", "5.0"))
    here = parse_job(MINIMAL | {"algorithm": "./mine.py:Mine"})
    there = parse_job(MINIMAL | {"algorithm": "./other/mine.py:Mine"})
    assert (factor_of(here), factor_of(there)) == (2.0, 5.0)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("./nowhere.py:Mine", "no file"),
        ("./mine.py:Other", "no class Other"),
        ("./mine.py:", "no class"),
        ("./mine.py:NOT_A_CLASS", "no class NOT_A_CLASS"),
        ("./mine.py:Foreign", "no class Foreign"),
        ("no_such_module:Mine", "no_such_module"),
        ("no.such.module:Mine", "no.such.module"),
        ("os:path", "no class path"),
    ],
)
def test_a_plug_in_that_is_not_there_is_refused(plug_in: Path, name: str, said: str) -> None:
    message = refusal(MINIMAL | {"algorithm": name})
    assert message.startswith("algorithm.name: ")
    assert said in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise ValueError('not today')", "ValueError: not today"),
        ("import no_such_module", "no_such_module"),
        ("1 / 0", "ZeroDivisionError"),
        ("def (", "SyntaxError"),
    ],
)
def test_a_plug_in_that_fails_to_load_is_refused(plug_in: Path, text: str, said: str) -> None:
    plug_in.write_text(text)
    message = refusal(MINIMAL | {"algorithm": "./mine.py:Mine"})
    assert message.startswith("algorithm.name: ")
    assert str(plug_in) in message
    assert said in message


def test_a_plug_in_that_failed_can_be_mended(plug_in: Path) -> None:
    plug_in.write_text("1 / 0")
    refusal(MINIMAL | {"algorithm": "./mine.py:Mine"})
    plug_in.write_text(PLUG_IN)
    assert factor_of(parse_job(MINIMAL | {"algorithm": "./mine.py:Mine"})) == 2.0


def test_a_plug_in_that_fails_in_two_lines_is_refused_in_one(plug_in: Path) -> None:
    plug_in.write_text("raise ValueError('one\\ntwo')")
    refusal(MINIMAL | {"algorithm": "./mine.py:Mine"})


@pytest.mark.parametrize("name", [":Mine", ".x:Mine", "mine_raises:Mine", "\0.py:Mine"], ids=ascii)
def test_a_module_that_cannot_be_imported_is_refused(
    plug_in: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    plug_in.with_name("mine_raises.py").write_text("raise ValueError('not today')")
    monkeypatch.syspath_prepend(str(plug_in.parent))
    assert refusal(MINIMAL | {"algorithm": name}).startswith("algorithm.name: ")


@pytest.mark.parametrize("component", COMPONENTS, ids=named)
def test_a_class_of_the_wrong_base_is_refused(component: Component, tmp_path: Path) -> None:
    other = next(one for one in COMPONENTS if one.path != component.path).base_class()
    module, base = other.__module__, other.__name__
    plug_in = tmp_path / "wrong.py"
    plug_in.write_text(
        f"from {module} import {base}\n\n\nclass Wrong({base}):\n    mode: str = 'x'\n    name: str = 'x'\n"
    )
    given = {component.key: f"{plug_in}:Wrong"}
    assert re.match(
        rf"{only(component).key_path}: .*Wrong", refusal(job_with(component.path, given))
    )


@pytest.mark.parametrize("path", NEED_A_METHOD)
def test_a_class_without_the_method_that_it_has_to_have_is_refused(
    path: str, tmp_path: Path
) -> None:
    component = next(one for one in COMPONENTS if ".".join(one.path) == path)
    extended = component.base_class()
    module, base = extended.__module__, extended.__name__
    plug_in = tmp_path / "bare.py"
    plug_in.write_text(
        f"from {module} import {base}\n\n\nclass Bare({base}):\n    mode: str = 'x'\n    name: str = 'x'\n"
    )
    missing = " or ".join(NEED_A_METHOD[path])
    with pytest.raises(InputError, match=rf"bare\.py:Bare': it has no method {missing}; write one"):
        find_part(component, f"{plug_in}:Bare")

    for method in NEED_A_METHOD[path]:  # one is enough, also when a class between the two has it
        plug_in.write_text(
            f"from {module} import {base}\n\n\nclass Between({base}):\n    mode: str = 'x'\n"
            f"    name: str = 'x'\n\n    def {method}(self, *given): ...\n\n\nclass Bare(Between): ...\n"
        )
        assert find_part(component, f"{plug_in}:Bare")[0].__name__ == "Bare"


EXTENDED = [pair for pair in REGISTERED if pair[1] not in ("natural",)]


@pytest.mark.parametrize(("component", "name"), EXTENDED, ids=named)
def test_a_plug_in_may_be_made_from_what_ships(
    component: Component, name: str, tmp_path: Path
) -> None:
    where = component.registry()[name]
    module, _, base = where.partition(":")
    plug_in = tmp_path / "more.py"
    plug_in.write_text(
        f"from {module} import {base}\n\n\nclass More({base}):\n    extra: int = 3\n"
    )
    given = {component.key: f"{plug_in}:More"} | required(component, name)
    section: Any = section_at(parse_job(job_with(component.path, given)), component.path)
    assert section.extra == 3
    assert isinstance(section, class_of(where))


PRESETS = [
    (component, preset)
    for component in COMPONENTS
    if not component.several
    for preset in component.presets()
]


def test_there_are_presets_of_two_kinds() -> None:
    assert {component.key_path for component, _ in PRESETS} == {"clock.mode", "selection.name"}


@pytest.mark.parametrize(("component", "preset"), PRESETS, ids=lambda value: str(value))
def test_a_preset_in_the_place_of_a_name_is_told_where_it_belongs(
    component: Component, preset: str
) -> None:
    """``clock=fedscale`` stands for ``clock.mode=fedscale``, as ``algorithm=fedavg`` for its name."""
    key = f"{component.path[0]}.preset"
    for given in (preset, preset[:-1]):
        with pytest.raises(InputError) as caught:
            parse_job({**MINIMAL, component.path[0]: given})
        (line,) = caught.value.lines
        assert line.startswith(f"{component.key_path}: {given!r} is not known; ")
        assert f"did you mean {key}: {preset}? allowed: " in line
        assert line.endswith(f"; {key} takes {', '.join(component.presets())}")

    options = {} if component.path == ("clock",) else {"participants": 2}
    assert parse_job({**MINIMAL, component.path[0]: {"preset": preset, **options}})


def test_an_unknown_name_far_from_all_presets_still_names_them() -> None:
    with pytest.raises(InputError, match=r"'x' is not known; allowed: sync, .* takes fedscale$"):
        parse_job({**MINIMAL, "clock": "x"})
    with pytest.raises(InputError, match=r"or \./file\.py:Class$"):
        parse_job({**MINIMAL, "algorithm": "x"})

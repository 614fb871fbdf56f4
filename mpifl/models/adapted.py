"""Puts the adapters of ``model.lora`` into a network, and writes them in PEFT's format."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import nn

from mpifl.errors import InputError
from mpifl.io.files import disk_full_errors, read_errors
from mpifl.models.flat import FlatModel
from mpifl.models.library import built, imported
from mpifl.models.lora import FILE, FOLDER, Lora
from mpifl.models.model import Model
from mpifl.models.quantised import quantise

KEY = "model.lora"


def adapted(module: nn.Module, model: Model, task: str) -> nn.Module:
    """Return a module with the adapters of ``model.lora``; the rest of it is frozen, its base.

    Without ``model.lora`` it is returned as it is. Networks of transformers get their adapters
    within what mpifl puts around them, so that PEFT loads what a run writes onto the library's own
    network. ``task`` is that of the data.

    Raises:
        InputError: A library is not installed, or does not take the network or the options.
    """
    lora = model.lora
    if lora is None:
        return module

    peft = imported("peft", KEY)
    network: Any = module.network if model.adapts_network else module
    kind = _task_type(network, task) if model.adapts_network else None
    config = built(KEY, lambda: _config(peft, lora, network, kind))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PEFT, about what transformers will call otherwise
        inner = built(KEY, lambda: peft.get_peft_model(network, config))
    if lora.base_bits is not None:
        quantise(network, lora.base_bits)
    for file in lora.files():
        _load(peft, inner, file)
    if model.adapts_network:
        module.network = inner
    else:
        module = inner

    for name, parameter in module.named_parameters():
        if parameter.requires_grad and parameter.dtype != torch.float32:
            parameter.data = parameter.data.float()
        if lora.freeze_a and ".lora_A." in name:
            parameter.requires_grad = False
    for layer in module.modules():
        if isinstance(layer, peft.utils.ModulesToSaveWrapper):
            layer.register_forward_pre_hook(_as_float32)
    return module


def _task_type(network: Any, task: str) -> str | None:
    """Return PEFT's name of what a network of transformers does; None where it has none.

    A classifier of sequences has a new last layer, which PEFT then trains whole.
    """
    if task in ("language", "preference"):
        return "CAUSAL_LM"
    return "SEQ_CLS" if hasattr(network.config, "vocab_size") else None


def _config(peft: Any, lora: Lora, network: nn.Module, task_type: str | None) -> Any:
    """Return PEFT's configuration of the adapters."""
    targets = lora.target_modules
    if targets is None and not _knows(peft, network):
        linear = [name for name, layer in network.named_modules() if type(layer) is nn.Linear]
        targets = [name for name in linear if name not in lora.modules_to_save]
    return peft.LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        modules_to_save=list(lora.modules_to_save) or None,
        use_rslora=lora.rank_stabilised,
        task_type=task_type,
    )


def _knows(peft: Any, network: nn.Module) -> bool:
    """Return whether PEFT has layers of its own choice for an architecture."""
    mapping = peft.utils.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    return getattr(getattr(network, "config", None), "model_type", None) in mapping


def _as_float32(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Convert what a layer reads that is trained whole, in float32, on a base of bfloat16."""
    return tuple(
        x.float() if isinstance(x, torch.Tensor) and x.dtype == torch.bfloat16 else x
        for x in inputs
    )


def _tensors(peft: Any, network: Any) -> dict[str, torch.Tensor]:
    """Return the tensors of adapters, under the names that they have in PEFT's files."""
    tensors: dict[str, torch.Tensor] = peft.get_peft_model_state_dict(
        network, save_embedding_layers=False
    )
    return tensors


def _load(peft: Any, network: Any, file: Path) -> None:
    """Set the adapters to those of a file of PEFT's. Raises InputError for others than these."""
    with read_errors(file):
        found = load_file(file)
    own = _tensors(peft, network)
    for name in own.keys() | found.keys():
        shapes = [tuple(held[name].shape) if name in held else None for held in (found, own)]
        if shapes[0] != shapes[1]:
            there, here = (shape or "missing" for shape in shapes)
            raise InputError(
                f"{KEY}.initial: {file}: {name} is {there} there and {here} in the model; give the"
                " rank and the target_modules with which it was made"
            )
    if not any(tensor.is_meta for tensor in own.values()):
        peft.set_peft_model_state_dict(network, found)


def write_adapter(folder: Path, model: FlatModel) -> None:
    """Write the adapters of a model into the folder ``adapter`` of a run directory.

    The files are those of PEFT: ``PeftModel.from_pretrained(base, "RUN/adapter")`` reads them. The
    folder appears when it is whole. Raises DiskFull.
    """
    peft = imported("peft", KEY)
    module: Any = model.module
    network = module if isinstance(module, peft.PeftModel) else module.network
    tensors = _tensors(peft, network)
    tensors = {name: tensor.detach().clone() for name, tensor in tensors.items()}

    path = folder / FOLDER
    partial = folder / f".{FOLDER}.part"
    with disk_full_errors(path, model.moving.nbytes, run=folder):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        (partial / FILE).write_bytes(save(tensors))
        network.peft_config["default"].save_pretrained(str(partial))
        shutil.rmtree(path, ignore_errors=True)
        partial.replace(path)

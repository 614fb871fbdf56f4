"""Where tensors lie in the vector of a model: against the vector itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from mpifl.datasets.dataset import DataShape
from mpifl.errors import InputError
from mpifl.models.femnist_cnn import FemnistCnn
from mpifl.models.flat import FlatModel, flatten
from mpifl.models.layout import Layout, layout_of
from mpifl.models.lstm import Lstm


def normed() -> nn.Module:
    """A frozen layer, batch norm with its buffers, and a last layer without parameters."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2), nn.Softmax(1)
    )
    module[0].weight.requires_grad_(False)
    return module


def convolutional() -> nn.Module:
    torch.manual_seed(0)
    return FemnistCnn(channels=(3, 4), hidden=5).build(DataShape("classification", (2, 16, 16), 3))


def recurrent() -> nn.Module:
    torch.manual_seed(0)
    shape = DataShape("next_token", (5,), 7, vocabulary=7)
    return Lstm(embedding=3, hidden=4, layers=2).build(shape)


def tied() -> nn.Module:
    """Two layers that share a weight, in which the last one has a bias of its own."""
    module = nn.Sequential(nn.Linear(3, 3, bias=False), nn.ReLU(), nn.Linear(3, 3))
    module[2].weight = module[0].weight
    return module


MODULES = [normed, convolutional, recurrent, tied]


@pytest.fixture(params=MODULES, ids=lambda make: make.__name__)
def model(request: pytest.FixtureRequest) -> FlatModel:
    return flatten(request.param())


def test_each_slice_holds_the_tensor_of_its_name(model: FlatModel) -> None:
    layout = layout_of(model)
    tensors = dict(model.module.named_parameters()) | dict(model.module.named_buffers())
    covered = np.zeros(layout.size, int)
    for name, where in layout.slices.items():
        assert layout.shapes[name] == tuple(tensors[name].shape)
        tensors[name].data.fill_(7.0)
        assert np.array_equal(np.flatnonzero(model.moving == 7), range(where.start, where.stop))
        tensors[name].data.zero_()
        covered[where] += 1
    assert (covered == 1).all()  # all entries, each once


def test_the_segments_are_those_of_the_model(model: FlatModel) -> None:
    layout = layout_of(model)
    assert layout.size == len(model.moving) == layout.trained + layout.averaged
    assert layout.trained == len(model.gradient)
    assert (layout.averages.start, layout.averages.stop) == (layout.trained, layout.size)
    trained = [name for name, one in model.module.named_parameters() if one.requires_grad]
    assert sorted(layout.parameters) == sorted(trained)
    assert sorted((*layout.body, *layout.head)) == sorted(trained)


def test_head_and_norm_are_told_by_the_layers() -> None:
    layout = layout_of(flatten(normed()))
    assert layout.head == ("3.weight", "3.bias")
    assert layout.body == ("0.bias", "1.weight", "1.bias")
    assert layout.norm == ("1.weight", "1.bias", "1.running_mean", "1.running_var")
    assert layout.averaged == 6
    assert "0.weight" not in layout.slices  # frozen: in no vector


def test_a_head_that_is_frozen_is_that_of_the_layer_before() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2).requires_grad_(False))
    assert layout_of(flatten(module)).head == ("0.weight", "0.bias")


def test_a_mask_has_the_entries_of_its_tensors(model: FlatModel) -> None:
    layout = layout_of(model)
    names = [name for number, name in enumerate(layout.slices) if number % 2 == 0]
    mask = layout.mask(names)
    tensors = dict(model.module.named_parameters()) | dict(model.module.named_buffers())
    for name in layout.slices:
        tensors[name].data.fill_(1.0 if name in names else 0.0)
    assert np.array_equal(mask, model.moving.numpy() == 1)
    assert not layout.mask([]).any()
    assert layout.mask(layout.slices).all()


def test_a_mask_of_a_tensor_that_is_not_there_is_refused() -> None:
    layout = layout_of(flatten(normed()))
    for name in ("9.weight", "0.weight", "1.num_batches_tracked"):
        with pytest.raises(InputError) as error:
            layout.mask([name])
        assert str(error.value).startswith(f"the model has no tensor '{name}'; it has 0.bias, 1.")


def test_where_only_sizes_are_known_there_are_no_names() -> None:
    layout = Layout(trained=10)
    assert (layout.size, layout.averages, layout.parameters) == (10, slice(10, 10), ())

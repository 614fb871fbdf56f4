"""Stands in for torchvision, whose wheels do not load beside a CPU build of torch: it can be imported, and does nothing."""

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec

__version__ = "0"


class _Anything(type):
    def __getattr__(cls, name):
        return _something(name)


class Nothing(metaclass=_Anything):
    """Whatever is asked of a module here; a class, so that others can be made from it."""


class _Finder(MetaPathFinder, Loader):
    def find_spec(self, name, path, target=None):
        """Any module below torchvision is there."""
        return ModuleSpec(name, self, is_package=True) if name.startswith("torchvision.") else None

    def create_module(self, spec):
        """As Python does it."""

    def exec_module(self, module):
        """Any name is in it."""
        module.__getattr__ = _something


def _something(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return Nothing


sys.meta_path.append(_Finder())
__getattr__ = _something

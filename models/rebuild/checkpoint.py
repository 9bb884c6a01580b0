"""Reads PyTorch state dicts and plain pickles of numpy arrays, without torch and without running code from them.

Pickles can name any callable; the readers here know the few that tensors are made of, and refuse all others.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from math import prod

import numpy as np

STORAGE_TYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


class Storage:
    """The flat data that tensors are views of. Its bytes come after the pickle that names it."""

    def __init__(self, dtype, count):
        self.dtype, self.count, self.data = dtype, count, None


class TensorRef:
    """What `torch._utils._rebuild_tensor_v2` is called with."""

    def __init__(self, storage, offset, shape, strides, *_gradient_and_hooks):
        self.storage, self.offset, self.shape, self.strides = storage, offset, tuple(shape), tuple(strides)

    def array(self):
        data = self.storage.data[self.offset :]
        reach = sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)) + 1 if prod(self.shape) else 0
        if self.offset < 0 or min(self.strides, default=0) < 0 or reach > data.size:
            raise ValueError("a tensor of the checkpoint reaches beyond its storage")
        strides = [s * data.itemsize for s in self.strides]
        return np.lib.stride_tricks.as_strided(data, self.shape, strides).copy()


class StateDictUnpickler(pickle.Unpickler):
    def __init__(self, file):
        super().__init__(file)
        self.storages = {}

    def find_class(self, module, name):
        if module == "torch" and name in STORAGE_TYPES:
            return STORAGE_TYPES[name]
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): TensorRef,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"the checkpoint names {module}.{name}, which no tensor is made of")
        return known[module, name]

    def persistent_load(self, identifier):
        kind, dtype, key, _location, count, *_view = identifier
        if kind != "storage":
            raise pickle.UnpicklingError(f"unknown persistent object {kind!r}")
        return self.storages.setdefault(key, Storage(dtype, count))


def _read_zip(data):
    archive = zipfile.ZipFile(io.BytesIO(data))
    index = next(name for name in archive.namelist() if name.endswith("data.pkl"))
    unpickler = StateDictUnpickler(io.BytesIO(archive.read(index)))
    state = unpickler.load()
    for key, storage in unpickler.storages.items():
        storage.data = np.frombuffer(archive.read(f"{index.removesuffix('data.pkl')}data/{key}"), storage.dtype)
    return state


def _read_legacy(data):
    """The format before PyTorch 1.6: magic, version, system, state dict, keys, then the storages one by one."""
    file = io.BytesIO(data)
    if StateDictUnpickler(file).load() != LEGACY_MAGIC:
        raise ValueError("not a PyTorch checkpoint")
    for _version_and_system in range(2):
        StateDictUnpickler(file).load()
    unpickler = StateDictUnpickler(file)
    state = unpickler.load()
    for key in StateDictUnpickler(file).load():
        storage = unpickler.storages[key]
        count = int.from_bytes(file.read(8), "little")
        storage.data = np.frombuffer(file.read(count * storage.dtype.itemsize), storage.dtype)
    return state


def read_state_dict(data):
    """Name -> array."""
    state = _read_zip(data) if zipfile.is_zipfile(io.BytesIO(data)) else _read_legacy(data)
    return {name: tensor.array() for name, tensor in state.items()}


class ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        known = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            # Where numpy 1 kept the function, and where numpy 2 does.
            ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
            ("numpy._core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
            ("_codecs", "encode"): lambda text, coding: text.encode("latin-1") if coding == "latin1" else None,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"the file names {module}.{name}, which no array is made of")
        return known[module, name]


def read_arrays(data):
    """A pickle of containers of numpy arrays."""
    return ArrayUnpickler(io.BytesIO(data), encoding="latin1").load()

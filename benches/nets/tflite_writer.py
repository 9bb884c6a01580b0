"""Writes TFLite files: the few tables of `tensorflow/compiler/mlir/lite/schema/schema.fbs` (version 3) that image classifiers
need. Fields of a table are given by their position there. Nothing but `flatbuffers` is needed."""

import flatbuffers
import numpy as np
from flatbuffers import number_types


class Byte(int):
    """A field of one signed byte."""


class Unsigned(int):
    """A field of four unsigned bytes."""


class UnsignedByte(int):
    """A field of one unsigned byte."""


IDENTIFIER, VERSION = b"TFL3", 3
ALIGNMENT = 16  # of constants, as the schema asks

# enum TensorType
TYPES = {np.dtype(np.float32): 0, np.dtype(np.int32): 2, np.dtype(np.uint8): 3, np.dtype(np.int8): 9}
# enum ActivationFunctionType
ACTIVATIONS = {None: Byte(0), "Relu": Byte(1), "Relu6": Byte(3)}
# enum Padding
PADDINGS = {"SAME": Byte(0), "VALID": Byte(1)}
# Operator -> number, version that has per-channel and s8 kernels, number of its options table. Versions: tools/versioning.
OPERATORS = {
    "ADD": (0, 2, 11),
    "CONCATENATION": (2, 2, 10),
    "CONV_2D": (3, 3, 1),
    "DEPTHWISE_CONV_2D": (4, 3, 2),
    "DEQUANTIZE": (6, 2, 0),
    "FULLY_CONNECTED": (9, 5, 8),
    "MAX_POOL_2D": (17, 2, 5),
    "MEAN": (40, 2, 27),
    "QUANTIZE": (114, 1, 0),
}
# Numbers above do not fit the field of old readers, which then holds this.
PLACEHOLDER = 127


class Model:
    """One subgraph, put together tensor by tensor and operator by operator."""

    def __init__(self, description):
        self.description = description
        self.tensors, self.operators, self.codes = [], [], []
        self.buffers = [b""]  # number 0 is the empty one, by rule

    def tensor(self, name, dtype, shape, data=None, quantization=None):
        """`quantization`: scales, zero points, axis. Returns the number of the tensor."""
        buffer = 0
        if data is not None:
            buffer = len(self.buffers)
            self.buffers.append(np.ascontiguousarray(data, dtype).tobytes())
        self.tensors.append((name, TYPES[np.dtype(dtype)], list(shape), buffer, quantization))
        return len(self.tensors) - 1

    def operator(self, kind, inputs, outputs, options=()):
        """`options`: the fields of the operator's options table, in order."""
        if kind not in self.codes:
            self.codes.append(kind)
        self.operators.append((kind, list(inputs), list(outputs), options))

    def write(self, inputs, outputs):
        """The file. `inputs`, `outputs`: name in the signature -> number of the tensor."""
        return _Writer().model(self, inputs, outputs)


class _Writer:
    def __init__(self):
        self.builder = flatbuffers.Builder(1 << 20)

    def model(self, model, inputs, outputs):
        # Read from the front: what is written first comes to lie last.
        buffers = [self.table([self.constant(data)]) for data in model.buffers]
        tensors = [self.tensor(*tensor) for tensor in model.tensors]
        operators = [self.operator(model.codes.index(kind), kind, *rest) for kind, *rest in model.operators]
        subgraph = self.table(
            [
                self.offsets(tensors),
                self.array(list(inputs.values()), np.int32),
                self.array(list(outputs.values()), np.int32),
                self.offsets(operators),
                self.string("main"),
            ]
        )
        codes = []
        for kind in model.codes:
            number, version, _ = OPERATORS[kind]
            codes.append(self.table([Byte(min(number, PLACEHOLDER)), None, version, number]))
        maps = [
            self.offsets([self.table([self.string(name), Unsigned(number)]) for name, number in ends.items()])
            for ends in (inputs, outputs)
        ]
        signature = self.table([*maps, self.string("serving_default"), None, Unsigned(0)])
        root = self.table(
            [
                Unsigned(VERSION),
                self.offsets(codes),
                self.offsets([subgraph]),
                self.string(model.description),
                self.offsets(buffers),
                None,
                None,
                self.offsets([signature]),
            ]
        )
        self.builder.Finish(root.position, file_identifier=IDENTIFIER)
        return bytes(self.builder.Output())

    def tensor(self, name, kind, shape, buffer, quantization):
        quantized = None
        if quantization:
            scales, zeros, axis = quantization
            ends = [self.array(scales, np.float32), self.array(zeros, np.int64)]
            quantized = self.table([None, None, *ends, None, None, axis])
        return self.table([self.array(shape, np.int32), Byte(kind), Unsigned(buffer), self.string(name), quantized])

    def operator(self, code, kind, inputs, outputs, options):
        number = OPERATORS[kind][2]
        table = self.table(options) if number else None
        ends = [self.array(numbers, np.int32) for numbers in (inputs, outputs)]
        return self.table([Unsigned(code), *ends, UnsignedByte(number) if number else None, table])

    def constant(self, data):
        """A vector of bytes whose contents are aligned."""
        if not data:
            return None
        builder = self.builder
        builder.StartVector(1, len(data), ALIGNMENT)
        start = builder.head - len(data)
        builder.head = start
        builder.Bytes[start : start + len(data)] = data
        return _Offset(builder.EndVector())

    def array(self, values, dtype):
        return _Offset(self.builder.CreateNumpyVector(np.asarray(values, dtype)))

    def string(self, text):
        return _Offset(self.builder.CreateString(text))

    def offsets(self, items):
        self.builder.StartVector(4, len(items), 4)
        for item in reversed(items):
            self.builder.PrependUOffsetTRelative(item.position)
        return _Offset(self.builder.EndVector())

    def table(self, fields):
        """Fields by position; None leaves one out. All offsets have to be written before."""
        builder = self.builder
        builder.StartObject(len(fields))
        for slot, value in enumerate(fields):
            if value is None:
                continue
            if isinstance(value, _Offset):
                builder.PrependUOffsetTRelative(value.position)
            else:
                builder.Prepend(_flags(value), int(value))
            builder.Slot(slot)
        return _Offset(builder.EndObject())


class _Offset:
    """Where something lies that has been written."""

    def __init__(self, position):
        self.position = position


def _flags(value):
    kinds = {
        Byte: number_types.Int8Flags,
        UnsignedByte: number_types.Uint8Flags,
        Unsigned: number_types.Uint32Flags,
        bool: number_types.BoolFlags,
    }
    return kinds.get(type(value), number_types.Int32Flags)

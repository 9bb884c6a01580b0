"""From ONNX to a graph model of TensorFlow.js: the same float net with the same numbers, fused as TensorFlow.js's own converter
fuses it (bias and activation into convolutions and products).

Takes the float models that tflite_convert.py takes, from which it inherits what the formats share: channels last, TensorFlow's
padding. TensorFlow.js computes no integers, so there are no quantized models for it.

The file: u32 length of the JSON (little endian), the JSON { modelTopology, weightSpecs } padded to 4 bytes, the weights. What
the official converter writes as model.json and shards is the same in several files.
"""

import base64
import json
import struct

import numpy as np
from onnx import numpy_helper

from tflite_convert import SPATIAL_AXES, attributes
from tflite_writer import PADDINGS


def text(value):
    return base64.b64encode(value.encode()).decode()


def s(value):
    return {"s": text(value)}


def ints(values):
    return {"list": {"i": [str(value) for value in values]}}


FLOAT, INT = {"type": "DT_FLOAT"}, {"type": "DT_INT32"}


class Converter:
    """One model; shapes and the fusing of activations are those of the TFLite converter."""

    def __init__(self, shared):
        self.shared = shared
        self.graph, self.constants = shared.graph, {c.name: numpy_helper.to_array(c) for c in shared.graph.initializer}
        self.nodes, self.specs, self.weights = [], [], []
        # ONNX value to the node that gives it.
        self.names, self.done = {}, set()

    def convert(self):
        source = self.graph.input[0].name
        shape = {"shape": {"dim": [{"size": str(size)} for size in self.shared.shape(source)]}}
        self.node(source, "Placeholder", [], {"dtype": FLOAT, "shape": shape})
        self.names[source] = source
        for node in self.graph.node:
            if id(node) not in self.done:
                getattr(self, f"do_{node.op_type}")(node)
        target = self.graph.output[0].name
        self.node("result", "Identity", [self.names[target]], {"T": FLOAT})
        topology = {"node": self.nodes, "library": {}, "versions": {"producer": 1}}
        head = json.dumps({"modelTopology": topology, "weightSpecs": self.specs}, separators=(",", ":")).encode()
        head += b" " * (-len(head) % 4)
        return struct.pack("<I", len(head)) + head + b"".join(self.weights)

    def node(self, name, op, inputs, attr):
        self.nodes.append({"name": name, "op": op, "input": inputs, "attr": attr})
        return name

    def constant(self, name, array):
        kind = "int32" if array.dtype == np.int32 else "float32"
        shape = {"dim": [{"size": str(size)} for size in array.shape]}
        dtype = INT if kind == "int32" else FLOAT
        self.specs.append({"name": name, "shape": list(array.shape), "dtype": kind})
        self.weights.append(np.ascontiguousarray(array).tobytes())
        tensor = {"tensor": {"dtype": dtype["type"], "tensorShape": shape}}
        return self.node(name, "Const", [], {"dtype": dtype, "value": tensor})

    def activation(self, node):
        """The value that a node stands for with the activation fused into it, and that activation."""
        name = node.output[0]
        if follower := self.shared.user(name, ("Relu", "Clip")):
            self.done.add(id(follower))
            return follower.output[0], self.shared.activation_kind(follower)
        return name, None

    def finish(self, node, op, inputs, attr):
        """A node into which bias and activation can be fused."""
        target, activation = self.activation(node)
        fused = ["BiasAdd", *([activation] if activation else [])]
        attr = {**attr, "T": FLOAT, "num_args": {"i": "1"}, "epsilon": {"f": 0}}
        attr["fused_ops"] = {"list": {"s": [text(name) for name in fused]}}
        self.names[target] = self.node(target, op, inputs, attr)

    def plain(self, node, op, inputs, attr):
        """A node into which nothing can be fused."""
        target, activation = self.activation(node)
        name = self.node(node.output[0], op, inputs, {**attr, "T": FLOAT})
        self.names[target] = self.node(target, activation, [name], {"T": FLOAT}) if activation else name

    def window(self, node, kernel, strides):
        same = self.shared.padding(node, kernel, strides) == PADDINGS["SAME"]
        return {"strides": ints([1, *strides, 1]), "padding": s("SAME" if same else "VALID"), "data_format": s("NHWC")}

    def inputs(self, node):
        return [self.names[name] for name in node.input]

    def do_Conv(self, node):
        attribute, weights = attributes(node), self.constants[node.input[1]]
        if any(dilation != 1 for dilation in attribute.get("dilations", [1, 1])):
            raise ValueError(f"{node.name}: dilated")
        groups = attribute.get("group", 1)
        attr = {**self.window(node, weights.shape[2:], attribute["strides"]), "dilations": ints([1, 1, 1, 1])}
        if groups == 1:
            op, weights = "_FusedConv2D", weights.transpose(2, 3, 1, 0)
        elif weights.shape[1] == 1 and groups == len(weights):
            op, weights = "FusedDepthwiseConv2dNative", weights.transpose(2, 3, 0, 1)
        else:
            raise ValueError(f"{node.name}: {groups} groups")
        constants = [self.constant(node.input[1], weights), self.constant(node.input[2], self.constants[node.input[2]])]
        self.finish(node, op, [self.names[node.input[0]], *constants], attr)

    def do_Gemm(self, node):
        attribute = attributes(node)
        if not attribute.get("transB") or attribute.get("alpha", 1) != 1 or attribute.get("beta", 1) != 1:
            raise ValueError(f"{node.name}: not a fully connected layer")
        constants = [
            self.constant(node.input[1], self.constants[node.input[1]].T),
            self.constant(node.input[2], self.constants[node.input[2]]),
        ]
        attr = {"transpose_a": {"b": False}, "transpose_b": {"b": False}}
        self.finish(node, "_FusedMatMul", [self.names[node.input[0]], *constants], attr)

    def do_MaxPool(self, node):
        attribute = attributes(node)
        kernel = attribute["kernel_shape"]
        attr = {**self.window(node, kernel, attribute["strides"]), "ksize": ints([1, *kernel, 1])}
        self.plain(node, "MaxPool", self.inputs(node), attr)

    def do_Add(self, node):
        self.plain(node, "AddV2", self.inputs(node), {})

    def do_Concat(self, node):
        if attributes(node)["axis"] != 1:
            raise ValueError(f"{node.name}: not a concatenation of channels")
        axis = self.constant(f"{node.output[0]}.axis", np.array(3, np.int32))
        self.plain(node, "ConcatV2", [*self.inputs(node), axis], {"N": {"i": str(len(node.input))}, "Tidx": INT})

    def do_GlobalAveragePool(self, node):
        axes = self.constant(f"{node.output[0]}.axes", np.array(SPATIAL_AXES, np.int32))
        # With the two axes gone, the Flatten that follows has nothing left to do.
        self.plain(node, "Mean", [*self.inputs(node), axes], {"keep_dims": {"b": False}, "Tidx": INT})

    def do_Flatten(self, node):
        self.names[node.output[0]] = self.names[node.input[0]]

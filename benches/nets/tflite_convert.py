"""From ONNX to TFLite: the same net with the same numbers, for libraries that read only TFLite.

Takes float models and QDQ models with s8 activations and weights, of the operators that image classifiers are made of. TFLite
has the channels last, activations fused into their producer, and integers of the very kind that onnxruntime's quantizer
writes with s8/s8: s8 activations with a zero point, s8 weights without, s32 biases. (TFLite 8-bit quantization
specification, ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec.)

Not taken over is one freedom that TFLite lacks: inputs of Concat get the scale of its result. TFLite's own converter does
the same.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tflite_writer import ACTIVATIONS, PADDINGS, Byte, Model

SPATIAL_AXES = (1, 2)


@dataclass
class Value:
    """What an ONNX value has become. `shape` is TFLite's: channels last. `number`: of its tensor, once it has one."""

    shape: tuple
    dtype: type = np.float32
    quantization: tuple | None = None  # scales, zero points, axis
    number: int | None = None


@dataclass
class Constant:
    """A weight as stored, with its scales if it is quantized."""

    array: np.ndarray
    scales: np.ndarray | None = None
    axis: int = 0


def attributes(node):
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


class Converter:
    def __init__(self, model, description):
        self.graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
        self.file = Model(description)
        self.constants = {c.name: Constant(numpy_helper.to_array(c)) for c in self.graph.initializer}
        infos = [*self.graph.value_info, *self.graph.input, *self.graph.output]
        self.shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in infos}
        self.values, self.done = {}, set()
        self.users = {}
        for node in self.graph.node:
            for name in node.input:
                self.users.setdefault(name, []).append(node)

    def convert(self):
        self.fold_weights()
        self.unify_concat()
        source = self.graph.input[0].name
        self.values[source] = Value(self.shape(source))
        inputs = {source: self.number(source)}
        for node in self.graph.node:
            if id(node) not in self.done:
                getattr(self, f"do_{node.op_type}")(node)
        target = self.graph.output[0].name
        return self.file.write(inputs, {target: self.number(target)})

    # Values

    def shape(self, name):
        shape = self.shapes[name]
        return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else tuple(shape)

    def number(self, name):
        value = self.values[name]
        if value.number is None:
            value.number = self.file.tensor(name, value.dtype, value.shape, None, value.quantization)
        return value.number

    def parameters(self, node):
        """Scale and zero point of a QuantizeLinear or DequantizeLinear of an activation."""
        scale, zero = (self.constants[name].array for name in node.input[1:3])
        if zero.dtype != np.int8:
            raise ValueError(f"{node.name}: TFLite has no {zero.dtype} activations")
        return [float(scale)], [int(zero)], 0

    def user(self, name, kinds):
        """The only user of a value, if it is of one of the kinds."""
        users = self.users.get(name, [])
        return users[0] if len(users) == 1 and users[0].op_type in kinds else None

    def result(self, node, keep=None, shape=None):
        """The number of the tensor that a node writes, and the activation fused into it. Nodes that become part of it
        are done. `keep`: the value whose quantization the result has to have."""
        name, activation = node.output[0], None
        shape = tuple(shape or self.shape(name))
        if follower := self.user(name, ("Relu", "Clip")):
            activation, name = self.activation_kind(follower), follower.output[0]
            self.done.add(id(follower))
        if quantize := self.user(name, ("QuantizeLinear",)):
            self.done.add(id(quantize))
            name, quantization = quantize.output[0], self.quantizations.get(name) or self.parameters(quantize)
            value = Value(shape, np.int8, quantization)
        else:
            value = Value(shape)
        if keep is not None and value.quantization != keep.quantization:
            raise ValueError(f"{node.name}: TFLite wants the same scale before and after")
        self.values[name] = value
        return self.number(name), activation

    def activation_kind(self, node):
        if node.op_type == "Relu":
            return "Relu"
        limits = [self.constants[name].array.item() for name in node.input[1:]]
        if limits != [0, 6]:
            raise ValueError(f"{node.name}: TFLite cannot clip to {limits}")
        return "Relu6"

    # Weights

    def fold_weights(self):
        """DequantizeLinear of constants: these are the weights."""
        for node in self.graph.node:
            if node.op_type == "DequantizeLinear" and node.input[0] in self.constants:
                array, scale, zero = (self.constants[name].array for name in node.input)
                if zero.any() or array.dtype not in (np.int8, np.int32):
                    raise ValueError(f"{node.name}: TFLite's weights are s8 without a zero point")
                self.constants[node.output[0]] = Constant(array, scale.reshape(-1), attributes(node).get("axis", 1))
                self.done.add(id(node))

    def weight(self, name, order=None, axis=0, shape=None):
        """A constant in TFLite's order of axes; `axis` is that of its scales there."""
        constant = self.constants[name]
        array = constant.array if order is None else constant.array.transpose(order)
        array = array if shape is None else array.reshape(shape)
        quantization = None
        if constant.scales is not None:
            quantization = (constant.scales, np.zeros(len(constant.scales)), axis)
        return self.file.tensor(name, array.dtype, array.shape, array, quantization)

    def unify_concat(self):
        self.quantizations = {}
        producers = {name: node for node in self.graph.node for name in node.output}
        for node in self.graph.node:
            quantize = self.user(node.output[0], ("QuantizeLinear",)) if node.op_type == "Concat" else None
            if quantize is None:
                continue
            for name in node.input:
                before = producers[producers[name].input[0]]
                if len(self.users[name]) != 1 or before.op_type != "QuantizeLinear":
                    raise ValueError(f"{node.name}: an input is used elsewhere too")
                self.quantizations[before.input[0]] = self.parameters(quantize)

    # Operators

    def padding(self, node, kernel, strides):
        """TFLite's name for the pads of a window over the node's first input."""
        pads = attributes(node).get("pads", [0, 0, 0, 0])
        if not any(pads):
            return PADDINGS["VALID"]
        sides = self.shapes[node.input[0]][2:]
        missing = [max((-(-s // st) - 1) * st + k - s, 0) for s, k, st in zip(sides, kernel, strides, strict=True)]
        if list(pads) != [m // 2 for m in missing] + [m - m // 2 for m in missing]:
            raise ValueError(f"{node.name}: TFLite cannot pad by {pads}")
        return PADDINGS["SAME"]

    def do_QuantizeLinear(self, node):
        source, target = node.input[0], node.output[0]
        self.values[target] = Value(self.values[source].shape, np.int8, self.parameters(node))
        self.file.operator("QUANTIZE", [self.number(source)], [self.number(target)])

    def do_DequantizeLinear(self, node):
        source, target = node.input[0], node.output[0]
        if target == self.graph.output[0].name:
            self.values[target] = Value(self.values[source].shape)
            self.file.operator("DEQUANTIZE", [self.number(source)], [self.number(target)])
        else:
            self.values[target] = self.values[source]

    def do_Conv(self, node):
        attribute = attributes(node)
        if any(dilation != 1 for dilation in attribute.get("dilations", [1, 1])):
            raise ValueError(f"{node.name}: dilated")
        x, groups, strides = node.input[0], attribute.get("group", 1), attribute["strides"]
        weights = self.constants[node.input[1]].array
        padding = self.padding(node, weights.shape[2:], strides)
        options = [padding, strides[1], strides[0]]
        if groups == 1:
            kind, weight = "CONV_2D", self.weight(node.input[1], (0, 2, 3, 1))
        elif weights.shape[1] == 1 and groups == self.values[x].shape[-1]:
            kind, weight = "DEPTHWISE_CONV_2D", self.weight(node.input[1], (1, 2, 3, 0), axis=3)
            options.append(len(weights) // groups)
        else:
            raise ValueError(f"{node.name}: {groups} groups")
        inputs = [self.number(x), weight, self.weight(node.input[2])]
        result, activation = self.result(node)
        self.file.operator(kind, inputs, [result], [*options, ACTIVATIONS[activation]])

    def do_MaxPool(self, node):
        attribute, x = attributes(node), self.values[node.input[0]]
        kernel, strides = attribute["kernel_shape"], attribute["strides"]
        options = [self.padding(node, kernel, strides), strides[1], strides[0], kernel[1], kernel[0]]
        source = self.number(node.input[0])
        result, activation = self.result(node, keep=x)
        self.file.operator("MAX_POOL_2D", [source], [result], [*options, ACTIVATIONS[activation]])

    def do_Add(self, node):
        inputs = [self.number(name) for name in node.input]
        result, activation = self.result(node)
        self.file.operator("ADD", inputs, [result], [ACTIVATIONS[activation]])

    def do_Concat(self, node):
        inputs = [self.number(name) for name in node.input]
        result, activation = self.result(node)
        if attributes(node)["axis"] != 1 or activation:
            raise ValueError(f"{node.name}: not a concatenation of channels")
        self.file.operator("CONCATENATION", inputs, [result], [3, ACTIVATIONS[None]])

    def do_GlobalAveragePool(self, node):
        source = self.number(node.input[0])
        axes = self.file.tensor(f"{node.name}.axes", np.int32, [2], np.array(SPATIAL_AXES))
        # With the two axes gone, the Flatten that follows has nothing left to do.
        result, activation = self.result(node, shape=self.shapes[node.output[0]][:2])
        if activation:
            raise ValueError(f"{node.name}: TFLite cannot fuse the activation")
        self.file.operator("MEAN", [source, axes], [result], [False])

    def do_Flatten(self, node):
        source, target = node.input[0], node.output[0]
        value = self.values[source]
        quantize = self.user(target, ("QuantizeLinear",))
        if quantize and value.quantization != self.parameters(quantize):
            raise ValueError(f"{node.name}: TFLite wants the same scale before and after")
        self.values[target] = value
        if quantize:
            self.done.add(id(quantize))
            self.values[quantize.output[0]] = value

    def do_Gemm(self, node):
        attribute = attributes(node)
        if not attribute.get("transB") or attribute.get("alpha", 1) != 1 or attribute.get("beta", 1) != 1:
            raise ValueError(f"{node.name}: not a fully connected layer")
        inputs = [self.number(node.input[0]), self.weight(node.input[1]), self.weight(node.input[2])]
        result, activation = self.result(node)
        self.file.operator("FULLY_CONNECTED", inputs, [result], [ACTIVATIONS[activation], Byte(0), False])

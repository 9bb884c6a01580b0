"""A small writer of ONNX graphs. Nodes and weights keep the order they are added in: the bytes are always the same."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 13, 7  # what onnxruntime's quantizer knows best, and what old runtimes still read
CLASSES = 1000


class Graph:
    def __init__(self, name, size):
        self.name, self.size = name, size
        self.nodes, self.constants = [], []

    def constant(self, name, array):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
        return name

    def add(self, op, inputs, output, name, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))
        return output

    def model(self, output):
        floats = TensorProto.FLOAT
        graph = helper.make_graph(
            self.nodes,
            self.name,
            [helper.make_tensor_value_info("input", floats, [1, 3, *self.size])],
            [helper.make_tensor_value_info(output, floats, [1, CLASSES])],
            self.constants,
        )
        imports = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=imports, producer_name="tractlet", ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model

"""SqueezeNet 1.1 from Keras weights: name -> (kernel in HWIO order, bias)."""

import numpy as np

from graph import Graph

SIZE = (227, 227)


class Builder:
    def __init__(self, weights):
        self.weights, self.unused = weights, set(weights)
        self.graph = Graph("squeezenet1_1", SIZE)

    def conv(self, x, layer, kernel, stride=1, pad=0):
        self.unused.discard(layer)
        weight, bias = (np.asarray(array) for array in self.weights[layer])
        name = layer.replace("/", "_")
        weight = self.graph.constant(f"{name}_w", weight.transpose(3, 2, 0, 1))
        bias = self.graph.constant(f"{name}_b", bias)
        window = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
        y = self.graph.add("Conv", [x, weight, bias], name, name, **window)
        return self.graph.add("Relu", [y], f"{name}_r", f"{name}_relu")

    def pool(self, x, name):
        return self.graph.add("MaxPool", [x], name, name, kernel_shape=[3, 3], strides=[2, 2])

    def fire(self, x, name):
        x = self.conv(x, f"{name}/squeeze1x1", 1)
        branches = [self.conv(x, f"{name}/expand1x1", 1), self.conv(x, f"{name}/expand3x3", 3, pad=1)]
        return self.graph.add("Concat", branches, f"{name}_cat", f"{name}_cat", axis=1)


def build(weights):
    """Returns the float model."""
    net = Builder(weights)
    x = net.pool(net.conv("input", "conv1", 3, 2), "pool1")
    for names, pool in ((("fire2", "fire3"), "pool3"), (("fire4", "fire5"), "pool5")):
        for name in names:
            x = net.fire(x, name)
        x = net.pool(x, pool)
    for name in ("fire6", "fire7", "fire8", "fire9"):
        x = net.fire(x, name)
    x = net.conv(x, "conv10", 1)
    x = net.graph.add("GlobalAveragePool", [x], "gap", "gap")
    net.graph.add("Flatten", [x], "logits", "flat")
    if net.unused:
        raise ValueError(f"the weights hold more than SqueezeNet 1.1: {sorted(net.unused)[:5]} ...")
    return net.graph.model("logits")

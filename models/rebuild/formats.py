"""Quantizes a float model into the forms in which quantized models are found, with onnxruntime's own quantizer."""

import logging
import tempfile
from pathlib import Path

import onnx
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.calibrate import TensorsData, load_tensors_data, save_tensors_data
from onnxruntime.quantization.shape_inference import quant_pre_process

S8, U8 = QuantType.QInt8, QuantType.QUInt8
QDQ, QOP = QuantFormat.QDQ, QuantFormat.QOperator
# Name -> format, types of activations and weights, whether weights have a scale per output channel.
STATIC = {
    "qdq-s8s8-pc": (QDQ, S8, S8, True),
    "qdq-u8s8-pc": (QDQ, U8, S8, True),
    "qdq-u8s8": (QDQ, U8, S8, False),
    "qdq-u8u8": (QDQ, U8, U8, False),
    "qop-u8s8-pc": (QOP, U8, S8, True),
    "qop-u8u8": (QOP, U8, U8, False),
}
FORMATS = ("fp32", *STATIC, "dyn-u8")
# The short names that the command line also takes.
ALIASES = {"qdq": "qdq-s8s8-pc", "qop": "qop-u8u8", "dyn": "dyn-u8"}


def _prepared(model, folder):
    """What the quantizer wants to start from: shapes inferred, constants folded."""
    source, prepared = folder / "float.onnx", folder / "prepared.onnx"
    onnx.save(model, source)
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    return prepared


def _quantize(prepared, form, target, reader, ranges_file):
    quant_format, activations, weights, per_channel = STATIC[form]
    quantize_static(
        str(prepared),
        str(target),
        reader,
        quant_format=quant_format,
        activation_type=activations,
        weight_type=weights,
        per_channel=per_channel,
        calibrate_method=CalibrationMethod.MinMax,
        calibration_cache_path=str(ranges_file),
    )


def _trimmed(data):
    """The bytes of a model without the operator sets that onnxruntime lists but no node uses."""
    model = onnx.load_from_string(data)
    used = {node.domain for node in model.graph.node}
    kept = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return model.SerializeToString()


def convert(model, forms, ranges):
    """Yields the name and the bytes of each form. `ranges`: activation -> (lowest, highest)."""
    # The quantizer advises to prepare the model even when that has been done.
    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        prepared = _prepared(model, folder)
        ranges_file, target = folder / "ranges.json", folder / "quantized.onnx"
        save_tensors_data(TensorsData(CalibrationMethod.MinMax, ranges), ranges_file)
        for form in forms:
            if form == "fp32":
                yield form, model.SerializeToString()
                continue
            if form == "dyn-u8":
                quantize_dynamic(str(prepared), str(target), weight_type=U8)
            else:
                _quantize(prepared, form, target, None, ranges_file)
            yield form, _trimmed(target.read_bytes())


def measure(model, reader):
    """Activation -> (lowest, highest) over the pictures of the reader."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        ranges_file = folder / "ranges.json"
        _quantize(_prepared(model, folder), "qdq-s8s8-pc", folder / "unused.onnx", reader, ranges_file)
        return {name: data.range_value for name, data in load_tensors_data(ranges_file).items()}

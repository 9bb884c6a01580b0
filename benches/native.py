#!/usr/bin/env python3
"""Times native onnxruntime on one thread: how fast the same models are outside of a browser.

    native.py JOB RESULTS

JOB: {"runs", "warmUp": seconds, "limit": seconds of timed runs at most, "models": [{"name", "file", "inputName", "input"}]},
paths from the top of the repository. RESULTS: {"version", "models": {name: {"create", "first", "times"} or {"error"}}},
in milliseconds.
"""

import json
import sys
import time
from pathlib import Path

import onnx
import onnxruntime
from onnx import numpy_helper

ROOT = Path(__file__).resolve().parents[1]


def milliseconds_of(work):
    start = time.perf_counter()
    result = work()
    return (time.perf_counter() - start) * 1e3, result


def open_session(file):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(ROOT / file), options, providers=["CPUExecutionProvider"])


def measure(model, job):
    tensor = onnx.TensorProto.FromString((ROOT / model["input"]).read_bytes())
    feeds = {model["inputName"]: numpy_helper.to_array(tensor)}
    create, session = milliseconds_of(lambda: open_session(model["file"]))
    first, _ = milliseconds_of(lambda: session.run(None, feeds))
    end = time.monotonic() + job["warmUp"]
    while time.monotonic() < end:
        session.run(None, feeds)
    times, end = [], time.monotonic() + job["limit"]
    while len(times) < job["runs"] and (not times or time.monotonic() < end):
        times.append(milliseconds_of(lambda: session.run(None, feeds))[0])
    return {"create": create, "first": first, "times": times}


def main():
    onnxruntime.set_default_logger_severity(3)
    job_file, results_file = map(Path, sys.argv[1:])
    job, results = json.loads(job_file.read_text()), {}
    for model in job["models"]:
        try:
            results[model["name"]] = measure(model, job)
        except Exception as error:  # The others go on.
            results[model["name"]] = {"error": str(error)}
        print(model["name"], flush=True)
    results_file.write_text(json.dumps({"version": onnxruntime.__version__, "models": results}))


if __name__ == "__main__":
    main()

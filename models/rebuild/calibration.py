"""The photos that activation ranges are measured on, and the recorded ranges.

The ranges are the minimum and maximum of every activation over 64 pictures: these photos whole, then random crops of
them. The last bits of float sums differ between processors, so measuring again elsewhere may move a scale by its last
bit. That is why the ranges are recorded (`ranges/*.json`) and a rebuild takes them from there; `rebuild.py --calibrate`
measures them anew.
"""

import io
import json
import random

import numpy as np
from onnxruntime.quantization import CalibrationDataReader
from PIL import Image

import packages
from preprocess import preprocess

PICTURES = 64
SKIMAGE = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "gravel.png",
    "grass.png",
    "ihc.png",
    "color.png",
)
SKLEARN = ("flower.jpg", "china.jpg")
ORANGE = (
    "tests/test_images/example_image_0.jpg",
    "widgets/tests/test_images/afternoon-4175917_640.jpg",
    "widgets/tests/test_images/landscape-2130524_640.jpg",
    "widgets/tests/test_images/atomium-4179270_640.jpg",
    "widgets/tests/test_images/kittens-4020199_640.jpg",
)
# Package and file. The order decides which photo gets which crop.
PHOTOS = (
    *(("scikit-image", f"skimage/data/{name}") for name in SKIMAGE),
    *(("scikit-learn", f"sklearn/datasets/images/{name}") for name in SKLEARN),
    *(("orange3-imageanalytics", f"orangecontrib/imageanalytics/{name}") for name in ORANGE),
    ("ndf", "ndf/tests/book-2020460_640.jpg"),
)


def pictures():
    photos = [Image.open(io.BytesIO(packages.read(*photo))).convert("RGB") for photo in PHOTOS]
    yield from photos
    rng = random.Random(0)
    for index in range(len(photos), PICTURES):
        photo = photos[index % len(photos)]
        side = rng.uniform(0.5, 1) * min(photo.size)
        left, top = rng.uniform(0, photo.width - side), rng.uniform(0, photo.height - side)
        crop = photo.crop((left, top, left + side, top + side))
        yield crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else crop


class Pictures(CalibrationDataReader):
    def __init__(self, spec):
        # The committed ranges were measured with inputs computed in 32 bits.
        self.feeds = ({"input": preprocess(picture, spec, np.float32)} for picture in pictures())

    def get_next(self):
        return next(self.feeds, None)


def save_ranges(ranges, path):
    """`ranges`: name -> (lowest, highest)."""
    lines = [f"  {json.dumps(name)}: {json.dumps([x.item() for x in ends])}" for name, ends in sorted(ranges.items())]
    path.parent.mkdir(exist_ok=True)
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def load_ranges(path):
    """Name -> (lowest, highest), as arrays of one 32-bit float."""
    return {name: tuple(np.array([x], np.float32) for x in ends) for name, ends in json.loads(path.read_text()).items()}

"""From a picture to a model's input by the `input` of its card, in PIL's and numpy's arithmetic."""

import numpy as np
from PIL import Image

FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def center_square(image, ratio):
    side = max(1, int(min(image.size) * ratio))
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def preprocess(image, spec, arithmetic=np.float64):
    """`image`: PIL, RGB. `spec`: the card's `input`, of the kinds that the cards here use. Returns float32."""
    if spec["crop"]["mode"] != "center" or spec["layout"] != "NCHW" or spec.get("type", "float32") != "float32":
        raise NotImplementedError(f"no card has used this input yet: {spec}")
    height, width = spec["size"]
    image = center_square(image, spec["crop"]["ratio"]).resize((width, height), FILTERS[spec["resample"]])
    pixels = np.asarray(image, arithmetic)
    if spec["channels"] == "BGR":
        pixels = pixels[..., ::-1]
    scale, mean, std = (np.asarray(spec[key], arithmetic) for key in ("scale", "mean", "std"))
    values = (pixels * scale - mean) / std
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32)

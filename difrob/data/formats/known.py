"""Sets that everybody uses: their names, their classes, and the MD5 sums that their publishers give."""

from __future__ import annotations

from dataclasses import dataclass

from difrob.runs.datasets import SourceFile


@dataclass(frozen=True)
class KnownSet:
    """A published data set.

    Attributes:
        name: what difrob calls it where nobody says otherwise.
        title: its usual name.
        class_names: in the order of the labels; empty where they stand in its files.
        flips: whether mirror images show the same.
        md5: {official file: sum}; a file counts whatever it is called, unless it bears the name of another one.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    flips: bool
    md5: dict[str, str]


DIGIT_NAMES = tuple("0123456789")

MNIST = KnownSet(
    "mnist",
    "MNIST",
    DIGIT_NAMES,
    flips=False,
    md5={
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
)
FASHION_MNIST = KnownSet(
    "fashion-mnist",
    "Fashion-MNIST",
    ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
    flips=True,
    md5={
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
)
CIFAR10 = KnownSet(
    "cifar10",
    "CIFAR-10",
    ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    flips=True,
    md5={
        "cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a",
        "cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530",
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    },
)
CIFAR100 = KnownSet(
    "cifar100",
    "CIFAR-100",
    (),
    flips=True,
    md5={
        "cifar-100-python.tar.gz": "eb9058c3a382ffc7106e4002c42a8d85",
        "cifar-100-binary.tar.gz": "03b5dce01913d631647c71ecec9e9cb8",
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    },
)
SVHN = KnownSet(
    "svhn",
    "SVHN",
    DIGIT_NAMES,
    flips=False,
    md5={
        "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
        "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
    },
)
# The publisher gives the sum of the archive alone; those of the files in it are the ones that torch-uncertainty and other
# libraries hold unpacked archives against, and that of the labels was also derived from the test labels of CIFAR-10.
CIFAR10_C = KnownSet(
    "cifar10-c",
    "CIFAR-10-C",
    CIFAR10.class_names,
    flips=True,
    md5={
        "labels.npy": "c439b113295ed5254878798ffe28fd54",
        "brightness.npy": "0a81ef75e0b523c3383219c330a85d48",
        "contrast.npy": "3c8262171c51307f916c30a3308235a8",
        "defocus_blur.npy": "7d1322666342a0702b1957e92f6254bc",
        "elastic_transform.npy": "9421657c6cd452429cf6ce96cc412b5f",
        "fog.npy": "7b397314b5670f825465fbcd1f6e9ccd",
        "frost.npy": "31f6ab3bce1d9934abfb0cc13656f141",
        "gaussian_blur.npy": "c33370155bc9b055fb4a89113d3c559d",
        "gaussian_noise.npy": "ecaf8b9a2399ffeda7680934c33405fd",
        "glass_blur.npy": "7361fb4019269e02dbf6925f083e8629",
        "impulse_noise.npy": "2090e01c83519ec51427e65116af6b1a",
        "jpeg_compression.npy": "2b9cc4c864e0193bb64db8d7728f8187",
        "motion_blur.npy": "fffa5f852ff7ad299cfe8a7643f090f4",
        "pixelate.npy": "0f14f7e2db14288304e1de10df16832f",
        "saturate.npy": "1cfae0964219c5102abbb883e538cc56",
        "shot_noise.npy": "3a7239bb118894f013d9bf1984be7f11",
        "snow.npy": "bb238de8555123da9c282dea23bd6e55",
        "spatter.npy": "8a5a3903a7f8f65b59501a6093b4311e",
        "speckle_noise.npy": "ef00b87611792b00df09c0b0237a1e30",
        "zoom_blur.npy": "6ea8e63f1c5cdee1517533840641641b",
    },
)
_ENDINGS = (".gz", ".tar", ".bin", ".mat", ".npy")


@dataclass(frozen=True)
class Comparison:
    """What holding files against the official sums of a known set gave.

    Attributes:
        title: that of the set, with what is known about the files.
        official: whether all are official ones.
        undecided: whether they may be official ones, because no sum is known of files in their form.
        note: why that is not known, as a sentence without its full stop; empty otherwise.
    """

    title: str
    official: bool = False
    undecided: bool = False
    note: str = ""


def compared(known: KnownSet, files: dict[str, SourceFile]) -> Comparison:
    """Hold files, by their names, against the official sums of a known set.

    Only a file in a form of which sums are known can be told to be another one: of an unpacked file nothing is known where
    there are sums of packed files alone.
    """
    sums = set(known.md5.values())
    strange = [
        name for name, file in files.items() if file.md5 not in sums or known.md5.get(name, file.md5) != file.md5
    ]
    if files and not strange and len({file.md5 for file in files.values()}) == len(files):
        return Comparison(f"{known.title}, official files", official=True)
    summed = {_ending(name) for name in known.md5}
    if not strange or any(_ending(name) in summed for name in strange):
        return Comparison(f"{known.title}, not the official files")
    more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
    return Comparison(
        f"{known.title}, not compared with the official files",
        undecided=True,
        note=f"no official sum of {known.title} is known for '{strange[0]}'{more}, so whether these are the official files is "
        f"not known; sums are known for {_listed([*known.md5])}",
    )


def _ending(name: str) -> str:
    """The form of a file; names like ``train-images.idx3-ubyte`` have no ending."""
    return next((ending for ending in _ENDINGS if name.lower().endswith(ending)), "")


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])}, ..."

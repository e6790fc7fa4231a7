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
        md5: {official file: sum}; a file counts whatever it is called.
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
KNOWN = (MNIST, FASHION_MNIST, CIFAR10, CIFAR100, SVHN)


def recognise(files: dict[str, SourceFile]) -> KnownSet | None:
    """The known set of which all these files are official ones, if any."""
    sums = {file.md5 for file in files.values()}
    return next((known for known in KNOWN if sums and sums <= set(known.md5.values())), None)


def titled(title: str, files: dict[str, SourceFile]) -> tuple[str, bool]:
    """The title with what is known about the files, and whether they are official."""
    official = recognise(files) is not None
    return (f"{title}, official files" if official else f"{title}, not the official files"), official

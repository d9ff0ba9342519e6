"""Words of ten languages from Debian's word lists, as small binary images of their letters.

The task is to tell a word's language. A list's words are folded to lower case and to Unicode's
form NFC, diacritics kept; words of 3 to 16 letters and of nothing but letters count, and words that
occur in more than one list are dropped. Which words train and which test is a matter of a checksum
of the word, so that every machine with the same lists has the same parts.
"""

from __future__ import annotations

import hashlib
import heapq
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sysmol.errors import SysmolError

if TYPE_CHECKING:
    import torch

__all__ = [
    "LETTERS",
    "LISTS",
    "SYSTEM_DIR",
    "WIDTH",
    "WordList",
    "Words",
    "batches",
    "encode",
    "load",
    "read",
    "to_input",
]

SYSTEM_DIR = Path("/usr/share/dict")
"""Where Debian's packages put their word lists."""

WIDTH = 16
"""Letters of the longest word, and width of the image."""

LETTERS = 64
"""Channels of the image: the 63 most frequent letters of the training part, and all others."""

TRAIN_WORDS, TEST_WORDS = 10_000, 1_000
"""Words of each language in the two parts."""

_SHORTEST = 3
_SPLIT_SEED = 1
_SPARE = 2  # candidates for each word wanted: English shares a third of its words


@dataclass(frozen=True)
class WordList:
    """One list, as it was when the results of this repository were made.

    Attributes
    ----------
    language : str
    package, version : str
        Of Debian 12.
    file : str
        In :data:`SYSTEM_DIR`.
    sha256 : str
        Of the file.
    encoding : str
    """

    language: str
    package: str
    version: str
    file: str
    sha256: str
    encoding: str = "utf-8"


LISTS = (
    WordList(
        "Danish",
        "wdanish",
        "1.6.36-14",
        "danish",
        "ed3f6ec15d32402c143539a1c0ec8f57b454a0fa758e23e7a2156b0a1119942b",
    ),
    WordList(
        "Dutch",
        "wdutch",
        "1:2.20.19-2",
        "dutch",
        "2e5128e8e7f9a5bdfc427c784c839986b0df1386cc53aef90ed2df71644f3987",
    ),
    WordList(
        "English",
        "wamerican",
        "2020.12.07-2",
        "american-english",
        "9f513f1ceadb6a01c5485b7dbdfd5118dc66cd70b59cae2851292112d4066a32",
    ),
    WordList(
        "French",
        "wfrench",
        "1.2.7-2",
        "french",
        "33b3a15b7c47c4b85aaafa7c8b41d3fee9c7ca1383381bb8f710372ce7474f06",
    ),
    WordList(
        "German",
        "wngerman",
        "20161207-11",
        "ngerman",
        "4864ca7300aae638c611114092ed566ba232b35e42280fcfb5509c5d121b307d",
    ),
    WordList(
        "Italian",
        "witalian",
        "1.10",
        "italian",
        "096f728b7b63073f32604dfaa7c5dbf5b2d32123880f0b05fe462670630f6218",
    ),
    WordList(
        "Polish",
        "wpolish",
        "20220301-1",
        "polish",
        "e9d92b97896378f7907ee9b77e7ef3c26da4fc596bdf9de0262520c3c471f2b1",
    ),
    WordList(
        "Portuguese",
        "wportuguese",
        "20220621-1",
        "portuguese",
        "0ae13d0be0b580a4f279e64c963371824092d05acca48a2523f562c228144536",
    ),
    WordList(
        "Spanish",
        "wspanish",
        "1.0.30",
        "spanish",
        "6b26adc955ec682e41e98d626d0ed1f778511065ee1f7f19c28e8b3cb574b9b6",
    ),
    WordList(
        "Swedish",
        "wswedish",
        "1.4.5-3",
        "swedish",
        "0e001d6362d9a06105354c4e5de3b4cbc320a327dcb59dc1a42c48f3b7231513",
        "iso-8859-1",
    ),
)


@dataclass(frozen=True)
class Words:
    """Both parts of the data.

    Attributes
    ----------
    alphabet : str
        The letters that have a channel of their own, the most frequent first.
    train, test : tuple of (ndarray of uint8 [N, WIDTH], ndarray of uint8 [N])
        Codes of the letters, see :func:`encode`, and labels, indices of the lists. A part's words
        are in an order that has nothing to do with their languages.
    """

    alphabet: str
    train: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
    test: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]


def _rank(word: str, purpose: str = "choice") -> bytes:
    """Where a word stands in the order that the seed of the parts gives for a purpose."""
    return hashlib.blake2b(f"{_SPLIT_SEED} {purpose} {word}".encode(), digest_size=12).digest()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SysmolError(f"{path}: {error.strerror}") from error


def _vocabulary(content: bytes, entry: WordList, path: Path) -> set[str]:
    try:
        text = content.decode(entry.encoding)
    except UnicodeDecodeError as error:
        raise SysmolError(f"{path}: is no {entry.encoding} text: {error.reason}") from error
    words = unicodedata.normalize("NFC", text.lower()).split()
    return {word for word in words if _SHORTEST <= len(word) <= WIDTH and word.isalpha()}


def encode(words: Sequence[str], alphabet: str) -> npt.NDArray[np.uint8]:
    """Codes of letters.

    Parameters
    ----------
    words : sequence of str
        Lower case, in NFC, at most :data:`WIDTH` letters each.
    alphabet : str
        Fewer than :data:`LETTERS` letters.

    Returns
    -------
    ndarray of uint8 [N, WIDTH]
        0 behind the word's end, i + 1 for the alphabet's letter i, :data:`LETTERS` for any other.
    """
    codes = {letter: index + 1 for index, letter in enumerate(alphabet)}
    found = np.zeros((len(words), WIDTH), np.uint8)
    for row, word in zip(found, words, strict=True):
        row[: len(word)] = [codes.get(letter, LETTERS) for letter in word]
    return found


def read(directory: Path | None = None, train: int = TRAIN_WORDS, test: int = TEST_WORDS) -> Words:
    """Read all lists and take both parts from them; some ten seconds for Debian's.

    Parameters
    ----------
    directory : Path, optional
        A folder with the files of :data:`LISTS`. Default: :data:`SYSTEM_DIR`.
    train, test : int
        Words of each language.

    Raises
    ------
    SysmolError
        A list is missing, is no text, or has too few words of its own.
    """
    place = SYSTEM_DIR if directory is None else directory
    missing = [entry for entry in LISTS if not (place / entry.file).is_file()]
    if missing:
        raise SysmolError(
            f"no word lists {', '.join(entry.file for entry in missing)} in {place}: "
            f"run 'apt-get install {' '.join(entry.package for entry in missing)}'"
        )
    vocabularies, others = [], []
    for entry in LISTS:
        content = _content(place / entry.file)
        vocabularies.append(_vocabulary(content, entry, place / entry.file))
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            others.append(f"{entry.file} is not that of {entry.package} {entry.version}")
    if others:
        print(f"warning: other words, other results: {', '.join(others)}", file=sys.stderr)
    parts: tuple[list[tuple[str, int]], list[tuple[str, int]]] = ([], [])
    for label, (entry, words) in enumerate(zip(LISTS, vocabularies, strict=True)):
        # Few candidates, so that only they are looked for in the other lists, which are long.
        chosen = heapq.nsmallest(_SPARE * (train + test), words, _rank)
        rest = [other for other in vocabularies if other is not words]
        own = [word for word in chosen if not any(word in other for other in rest)]
        if len(own) < train + test:
            raise SysmolError(
                f"{place / entry.file}: {len(own)} words that no other list has, "
                f"{train + test} are needed"
            )
        parts[1].extend((word, label) for word in own[:test])
        parts[0].extend((word, label) for word in own[test : train + test])
    for part in parts:
        # Another order than that of the choice, in which words of long lists come first.
        part.sort(key=lambda pair: _rank(pair[0], "order"))
    counts = Counter(letter for word, _ in parts[0] for letter in word)
    ranked = sorted(counts, key=lambda letter: (-counts[letter], letter))
    alphabet = "".join(ranked[: LETTERS - 1])
    coded = [
        (
            encode([word for word, _ in part], alphabet),
            np.array([label for _, label in part], np.uint8),
        )
        for part in parts
    ]
    return Words(alphabet, coded[0], coded[1])


_read = lru_cache(maxsize=1)(read)


def load(
    split: str, directory: Path | None = None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Codes and labels of one part.

    Parameters
    ----------
    split : {"train", "test"}
    directory : Path, optional
        As for :func:`read`, whose last result is kept: the parts are found together.

    Returns
    -------
    codes : ndarray of uint8 [N, WIDTH]
    labels : ndarray of uint8 [N], indices of :data:`LISTS`
    """
    if split not in ("train", "test"):
        raise SysmolError(f"unknown split {split!r}: expected 'train' or 'test'")
    words = _read(directory)
    return words.train if split == "train" else words.test


def to_input(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Codes [N, WIDTH] to the network's input, float32 [N, LETTERS, 1, WIDTH] of zeros and ones."""
    channels = np.arange(1, LETTERS + 1, dtype=np.uint8)[:, None, None]
    return np.equal(codes[:, None, None, :], channels).astype(np.float32)


def batches(
    codes: torch.Tensor, labels: torch.Tensor, size: int, generator: torch.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One shuffled epoch, without augmentation; a last, smaller batch is left out.

    Parameters
    ----------
    codes : uint8 tensor [N, WIDTH]
    labels : int64 tensor [N]
    size : int
        Words in a batch.
    generator : torch.Generator
        The only source of chance.

    Yields
    ------
    x : float32 tensor [size, LETTERS, 1, WIDTH]
    y : int64 tensor [size]
    """
    import torch

    order = torch.randperm(len(codes), generator=generator)
    for start in range(0, len(codes) - size + 1, size):
        index = order[start : start + size]
        yield torch.from_numpy(to_input(codes[index].numpy())), labels[index]

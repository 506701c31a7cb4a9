"""Weakly labelled texts as numbers of words, and a small Transformer for them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.accuracy.data_sets import data_folder
from benchmarks.papers.tasks import Problem

LONGEST = 24
N_WORDS = 4000
PADDING, UNKNOWN = 0, 1
TRAIN, VALID, TEST = 0, 1, 2


def weakly_labelled(name: str, n_train: int | None, n_trusted: int, seed: int) -> Problem:
    """Read `<name>/<name>.npz`; texts on which no labelling function fires are left out.

    Trusted rows are drawn from those for validation, in their own shares of the classes.
    """
    with np.load(data_folder() / name / f"{name}.npz", allow_pickle=False) as file:
        text, y, given, split = (file[key] for key in ("text", "y", "y_noisy", "split"))
    rng = np.random.default_rng(seed)
    train = rng.permutation(np.flatnonzero((split == TRAIN) & (given >= 0)))[:n_train]
    meta = rng.permutation(np.flatnonzero(split == VALID))[:n_trusted]
    test = np.flatnonzero(split == TEST)
    X = numbers_of_words(text, text[train])
    is_right = given[train] == y[train]
    return Problem("noise", X[train], given[train], is_right, X[meta], y[meta], X[test], y[test])


def numbers_of_words(text: NDArray, known: NDArray) -> NDArray[np.int64]:
    """Number the commonest words of known texts; the first words of each text."""
    commonest = Counter(word for line in known for word in line.split()).most_common(N_WORDS - 2)
    numbers = {word: UNKNOWN + 1 + i for i, (word, _) in enumerate(commonest)}
    X = np.full((len(text), LONGEST), PADDING)
    for row, line in zip(X, text, strict=True):
        words = line.split()[:LONGEST]
        row[: len(words)] = [numbers.get(word, UNKNOWN) for word in words]
    return X


class TextTransformer(nn.Module):
    """Two encoder layers over words and their places; the mean of a text goes on."""

    def __init__(self, n_classes: int, width: int) -> None:
        super().__init__()
        self.words = nn.Embedding(N_WORDS, width, padding_idx=PADDING)
        self.places = nn.Parameter(0.02 * torch.randn(LONGEST, width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.output = nn.Linear(width, n_classes)

    def forward(self, X: Tensor) -> Tensor:
        is_padding = X == PADDING
        hidden = self.encoder(self.words(X) + self.places, src_key_padding_mask=is_padding)
        is_word = (~is_padding)[..., None].to(hidden.dtype)
        return self.output((hidden * is_word).sum(dim=1) / is_word.sum(dim=1))

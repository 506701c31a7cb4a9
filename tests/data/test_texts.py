"""Texts as the numbers of their tokens, for a module whose output is an object with logits."""

import copy
import pickle
from collections import OrderedDict, UserDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from torch import Tensor, nn
from torch.utils.data import Dataset

from skmetaweight import MetaWeightClassifier
from tests.conftest import of_method, quick
from tests.test_readme import rst_code

N, LONGEST = 96, 12
Y = np.arange(N) % 3
TRUSTED = np.arange(N) < 24


class ModelOutput(OrderedDict[str, Tensor]):
    """As that of Hugging Face: a dict whose values are attributes too."""

    def __getattr__(self, name: str) -> Tensor:
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(name) from error


class LanguageModel(nn.Module):
    """Stands for a model of sequence classification of Hugging Face."""

    def __init__(self, make_output: Any = ModelOutput) -> None:
        super().__init__()
        self.make_output = make_output
        self.embedding = nn.Embedding(40, 8, padding_idx=0)
        self.encoder = nn.Linear(8, 8)
        self.classifier = nn.Linear(8, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Any = None) -> Any:
        assert labels is None  # the losses are the classifier's to compute
        hidden = torch.tanh(self.encoder(self.embedding(input_ids)))
        mask = attention_mask[..., None].to(hidden.dtype)
        pooled = (mask * hidden).sum(dim=1) / mask.sum(dim=1)
        return self.make_output(logits=self.classifier(pooled))


def encoded() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    attention_mask = (np.arange(LONGEST) < rng.integers(4, LONGEST, (N, 1))).astype(np.int64)
    ids = rng.integers(5, 40, (N, LONGEST))
    ids[:, 0] = 1 + Y
    return {"input_ids": ids * attention_mask, "attention_mask": attention_mask}


X = encoded()


def model(make_output: Any = ModelOutput, *, frozen: bool = False) -> LanguageModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = LanguageModel(make_output)
    for part in (made.embedding, made.encoder):
        part.requires_grad_(not frozen)
    return made


def fit(module: nn.Module, X: Any = X, **params: Any) -> MetaWeightClassifier:
    return quick(module=module, lr=0.03, **params).fit(X, Y, meta_mask=TRUSTED)


# ------------------------------------------------------------------ modules


@pytest.mark.parametrize("make_output", [ModelOutput, SimpleNamespace])
@pytest.mark.parametrize("precision", [None, "bfloat16"])
@pytest.mark.parametrize("layers", ["last", "all"])
def test_only_the_head_may_be_trained(
    make_output: Any, precision: Any, layers: str, method: str
) -> None:
    module = model(make_output, frozen=True)
    settings = of_method(method, alignment_layers=layers)
    clf = fit(module, method=method, mixed_precision=precision, **settings)
    trained = clf.net_.module_
    assert clf.net_.objective_.head is trained.classifier
    for name, parameter in module.named_parameters():
        is_same = torch.equal(trained.get_parameter(name), parameter)
        assert is_same == (not name.startswith("classifier"))
    assert np.isfinite(clf.sample_weights_).all()


@pytest.mark.parametrize("frozen", [False, True])
def test_logits_of_an_object_are_those_of_a_tensor(frozen: bool, method: str) -> None:
    def logits_alone(logits: Tensor) -> Tensor:
        return logits

    clfs = [fit(model(make, frozen=frozen), method=method) for make in (ModelOutput, logits_alone)]
    of_object, of_tensor = clfs
    np.testing.assert_array_equal(of_object.predict_proba(X), of_tensor.predict_proba(X))
    np.testing.assert_array_equal(of_object.sample_weights_, of_tensor.sample_weights_)


@pytest.mark.parametrize("frozen", [False, True])
def test_copies_predict_the_same(frozen: bool, method: str, tmp_path: Path) -> None:
    clf = fit(model(frozen=frozen), method=method)
    clf.save(tmp_path / "saved")
    copies = {
        "pickle": pickle.loads(pickle.dumps(clf)),
        "deepcopy": copy.deepcopy(clf),
        "file": MetaWeightClassifier.load(tmp_path / "saved", module=model(frozen=frozen)),
        "clone": clone(clf).fit(X, Y, meta_mask=TRUSTED),
    }
    for name, other in copies.items():
        np.testing.assert_array_equal(other.predict_proba(X), clf.predict_proba(X), name)


@pytest.mark.parametrize("make_output", [dict, lambda logits: (logits,)])
def test_outputs_without_the_attribute_are_told(make_output: Any) -> None:
    with pytest.raises(ValueError, match=r"got (dict|tuple): let it return .* with logits\.$"):
        fit(model(make_output))


# ------------------------------------------------------------------ tokens


class Tokenized(Dataset):
    """Hands out what a tokenizer makes of one text, with lists in it."""

    def __init__(self, rows: Any, mapping: Any) -> None:
        self.rows = rows
        self.mapping = mapping

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Any:
        return self.mapping(self.rows[i])


def rows_of(X: Any) -> list[dict[str, Any]]:
    return [{key: values[i].tolist() for key, values in X.items()} for i in range(N)]


def unpadded() -> list[dict[str, Any]]:
    lengths = X["attention_mask"].sum(axis=1)
    return [{k: v[:n] for k, v in row.items()} for row, n in zip(rows_of(X), lengths, strict=True)]


@pytest.mark.parametrize("mapping", [dict, UserDict])
def test_encodings_of_all_texts_and_of_each(mapping: Any) -> None:
    expected = fit(model()).predict_proba(X)
    for same in (mapping(X), Tokenized(rows_of(X), mapping)):
        np.testing.assert_array_equal(fit(model(), same).predict_proba(same), expected)


def cropped(module: nn.Module) -> nn.Module:
    """Return the module that the documentation shows."""
    names: dict[str, Any] = {}
    (code,) = [block for block in rst_code("data.rst") if "class Cropped" in block]
    exec(compile(code, "data.rst", "exec"), names)
    return names["Cropped"](module)


@pytest.mark.parametrize("layers", ["last", "all"])
def test_a_batch_may_be_cut_to_its_longest_text(layers: str) -> None:
    settings = of_method("mw-net", alignment_layers=layers)
    plain, cut = (fit(module, **settings) for module in (model(), cropped(model())))
    assert cut.net_.objective_.head is cut.net_.module_.model.classifier
    np.testing.assert_allclose(cut.predict_proba(X), plain.predict_proba(X), atol=2e-3)
    np.testing.assert_allclose(cut.sample_weights_, plain.sample_weights_, atol=1e-2)


# ------------------------------------------------------------------ what is told

TEXTS = [f"text {i}" for i in range(N)]
COLUMNS = {
    "list": TEXTS,
    "tuple": tuple(TEXTS),
    "array": np.array(TEXTS),
    "objects": np.array(TEXTS, dtype=object),
    "bytes": [text.encode() for text in TEXTS],
    "array of bytes": np.array(TEXTS, dtype=bytes),
    "pandas": pd.Series(TEXTS),
    "polars": pl.Series(TEXTS),
}


@pytest.mark.parametrize("module", [None, model()])
@pytest.mark.parametrize("kind", COLUMNS)
def test_texts_are_to_be_tokenized(kind: str, module: Any) -> None:
    clf, texts = quick(module=module), COLUMNS[kind]
    message = r"^Input X(_meta)? holds texts, e\.g\. b?'text 0': .*tokenizer\(.*TfidfVectorizer\.$"
    with pytest.raises(ValueError, match=message):
        clf.fit(texts, Y, meta_mask=TRUSTED)
    fitted = fit(model())
    for call in (fitted.predict, fitted.predict_proba):
        with pytest.raises(ValueError, match=message):
            call(texts)
    with pytest.raises(ValueError, match=message):
        clf.fit(X, Y, X_meta=texts, y_meta=Y)
    with pytest.raises(ValueError, match="Input X 'text' holds texts"):
        fit(model(), {"text": texts})


@pytest.mark.parametrize("mapping", [dict, UserDict])
def test_a_list_of_encodings_is_to_be_one(mapping: Any) -> None:
    with pytest.raises(ValueError, match=r"^Input X is a list of mappings, .* pass one dict"):
        fit(model(), [mapping(row) for row in rows_of(X)])


@pytest.mark.parametrize("options", [{}, {"iterator_train__collate_fn": list}])
def test_items_of_different_lengths_are_to_be_padded(options: Any) -> None:
    with pytest.raises(ValueError, match=r"cannot be stacked: .* padding: an iterator_train__c"):
        fit(model(), Tokenized(unpadded(), dict), **options)


def test_trusted_texts_of_another_length() -> None:
    longer = {key: np.pad(values, ((0, 0), (0, 3))) for key, values in X.items()}
    with pytest.raises(ValueError, match=r"got \{'input_ids': \(15,\).*: pad or cut both to one"):
        quick(module=model()).fit(X, Y, X_meta=longer, y_meta=Y)
    assert fit(model()).predict_proba(longer).shape == (N, 3)

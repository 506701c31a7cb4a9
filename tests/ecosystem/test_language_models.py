"""Models of transformers and peft, built here from small configurations."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from skmetaweight import MetaWeightClassifier
from tests.conftest import of_method
from tests.data.test_texts import X, fit

transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft

SIZES = {"vocab_size": 40, "max_position_embeddings": 32, "num_labels": 3, "pad_token_id": 0}
BERT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
DISTILBERT = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}


def model(kind: str = "Bert", **config: Any) -> Any:
    sizes = {**SIZES, **(DISTILBERT if kind == "DistilBert" else BERT), **config}
    if kind != "DistilBert":
        sizes["intermediate_size"] = 32
    made = getattr(transformers, f"{kind}Config")(**sizes)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return getattr(transformers, f"{kind}ForSequenceClassification")(made)


def frozen() -> Any:
    made = model()
    made.bert.requires_grad_(False)
    return made


def adapted() -> Any:
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query", "value"])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return peft.get_peft_model(model(), config)


MODELS = {"whole": model, "frozen": frozen, "adapted": adapted}


@pytest.mark.parametrize("precision", [None, "bfloat16"])
@pytest.mark.parametrize("layers", ["last", "all"])
@pytest.mark.parametrize("kind", MODELS)
def test_every_method(kind: str, layers: str, precision: Any, method: str) -> None:
    module = MODELS[kind]()
    settings = of_method(method, alignment_layers=layers)
    clf = fit(module, method=method, mixed_precision=precision, **settings)
    assert isinstance(clf.net_.objective_.head, torch.nn.Linear)
    assert np.isfinite(clf.sample_weights_).all()
    before = dict(module.named_parameters())
    for name, parameter in clf.net_.module_.named_parameters():
        assert parameter.requires_grad or torch.equal(parameter, before[name])


@pytest.mark.parametrize("kind", MODELS)
def test_copies_predict_the_same(kind: str, tmp_path: Path) -> None:
    clf = fit(MODELS[kind]())
    clf.save(tmp_path / "saved")
    file = MetaWeightClassifier.load(tmp_path / "saved", module=MODELS[kind]())
    for other in (file, copy.deepcopy(clf), pickle.loads(pickle.dumps(clf))):
        np.testing.assert_array_equal(other.predict_proba(X), clf.predict_proba(X))


@pytest.mark.parametrize("kind", ["Bert", "DistilBert", "Roberta", "Electra", "DebertaV2"])
def test_the_last_layer_is_found(kind: str) -> None:
    head = fit(model(kind)).net_.objective_.head
    assert isinstance(head, torch.nn.Linear)
    assert head.out_features == 3


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", ["Bert", "DistilBert", "GPT2", "Llama"])
@pytest.mark.filterwarnings("ignore:The module does not return the output of one linear layer")
def test_attention_is_differentiated_exactly(kind: str, attention: str) -> None:
    clf = fit(model(kind, attn_implementation=attention), method__alignment_layers="all")
    assert clf.net_.reweighter_.alignments_.mode == "row-by-row"


def test_tokenizers_return_what_is_taken() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    texts = [" ".join(f"word{code}" for code in row if code) for row in X["input_ids"]]
    split = tokenizers.Tokenizer(tokenizers.models.WordLevel(unk_token="?"))
    split.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    trainer = tokenizers.trainers.WordLevelTrainer(special_tokens=["[PAD]", "?"])
    split.train_from_iterator(texts, trainer)
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=split, pad_token="[PAD]")
    found = []
    for kind in ("np", "pt", None):
        encoded = made(texts, padding=True, return_tensors=kind)
        clf = fit(model(), encoded)
        found.append(clf.predict_proba(made(texts, padding=True, return_tensors="np")))
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])

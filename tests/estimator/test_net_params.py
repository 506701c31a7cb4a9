"""The prefixed parameters as parameters of an estimator, apart from any training."""

import copy
import pickle
from typing import Any

import pytest
from sklearn.base import BaseEstimator, clone

from skmetaweight._estimator.net_params import PREFIXES, NetParamsMixin


class Inner(BaseEstimator):
    def __init__(self, depth: int = 1) -> None:
        self.depth = depth


class Estimator(NetParamsMixin):
    def __init__(self, lr: float = 0.1, *, inner: Any = None, **net_params: Any) -> None:
        self.lr = lr
        self.inner = inner
        vars(self).update(net_params)


def test_known_and_prefixed_parameters() -> None:
    estimator = Estimator(inner=Inner(3), module__width=4, iterator_train="loader")
    assert estimator.get_params() == {
        "lr": 0.1,
        "inner": estimator.inner,
        "inner__depth": 3,
        "module__width": 4,
        "iterator_train": "loader",
    }
    assert "inner__depth" not in estimator.get_params(deep=False)
    assert estimator.get_params(deep=False)["module__width"] == 4
    assert estimator._net_params() == {"module__width": 4, "iterator_train": "loader"}
    assert repr(estimator) == (
        "Estimator(inner=Inner(depth=3), iterator_train='loader', module__width=4)"
    )


def test_fitted_and_private_attributes_are_no_parameters() -> None:
    estimator = Estimator(module__width=4)
    estimator.net_ = estimator._state = 1
    assert estimator._net_params() == {"module__width": 4}
    assert set(clone(estimator).get_params()) == {"lr", "inner", "module__width"}
    assert not hasattr(clone(estimator), "net_")


def test_set_params_takes_names_that_were_never_set() -> None:
    estimator = Estimator(inner=Inner())
    returned = estimator.set_params(lr=1, module__width=5, inner__depth=2, callbacks__log=None)
    assert returned is estimator
    assert (estimator.lr, estimator.inner.depth) == (1, 2)
    assert estimator._net_params() == {"module__width": 5, "callbacks__log": None}
    assert estimator.set_params(module__width=6).get_params()["module__width"] == 6
    assert estimator.set_params() is estimator


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_prefix(prefix: str) -> None:
    name = f"{prefix}__anything"
    assert clone(Estimator().set_params(**{name: 1})).get_params()[name] == 1


def test_copies() -> None:
    estimator = Estimator(inner=Inner(3), module__width=[4])
    for other in (
        clone(estimator),
        copy.deepcopy(estimator),
        pickle.loads(pickle.dumps(estimator)),
    ):
        assert other.module__width == [4]
        assert other.module__width is not estimator.module__width
        assert other.inner.depth == 3


def test_unknown_names() -> None:
    estimator = Estimator()
    with pytest.raises(ValueError, match="'modul__width': did you mean 'module__width'"):
        estimator.set_params(modul__width=1)
    with pytest.raises(ValueError, match=r"Estimator got unknown parameters: 'zzz'\. Those of the"):
        estimator.set_params(zzz=1, module__width=2)
    assert estimator._net_params() == {}
    with pytest.raises(TypeError, match="'l_r': did you mean 'lr'"):
        Estimator(l_r=1)._check_net_params()
    Estimator(module__width=1, compile=True)._check_net_params()

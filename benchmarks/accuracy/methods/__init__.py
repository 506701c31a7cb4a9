"""The methods by name. Their hyper-parameters are the same for all tasks.

Read in this order:

1. ``method``: what a method is, and what it returns;
2. ``same_network``: the network of our defaults, trained with learned weights and in other ways;
3. ``rivals``: scikit-learn's, CatBoost's and cleanlab's classifiers;
4. ``tabular_networks``: RealMLP and TabM, and TabM within our training;
5. ``without_trusted_rows``: fits that see no trusted row;
6. ``imbalance``: fits for imbalanced classes;
7. ``ablations``: our default with one part taken out.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from sklearn.base import clone
from torch import nn

from benchmarks.accuracy.methods.ablations import WITHOUT, without
from benchmarks.accuracy.methods.imbalance import balanced_forest, prior_adjusted
from benchmarks.accuracy.methods.method import Method
from benchmarks.accuracy.methods.rivals import (
    FOREST,
    HGB,
    LOGISTIC,
    catboost,
    cleanlab_on_union,
    cleanlab_with_meta,
    on_union,
    on_union_upweighted,
    with_learned_weights,
)
from benchmarks.accuracy.methods.same_network import (
    GeneralizedCrossEntropy,
    early_stopped,
    fine_tuned,
    in_our_training,
    meta_only,
    plain_on_union,
    with_meta,
)
from benchmarks.accuracy.methods.tabular_networks import (
    cleanlab_validated,
    validated_network,
    with_tabm,
)
from benchmarks.accuracy.methods.without_trusted_rows import (
    plain_on_noisy,
    pseudo_trusted,
    split_off,
)
from skmetaweight import (
    PAPER_TRAINING,
    FirstOrderMetaWeightNet,
    LearningToReweight,
    LiLAW,
    MetaWeightNet,
)

# As published, the virtual step of MW-Net and FMW-Net is as long as the learning rate, which is 0.1
# at first, for SGD. Our training is AdamW's, at 3e-3 and less: there, a virtual step as short as
# that is a handicap that no paper proposes.
VIRTUAL_STEP = {"lookahead_lr": 0.1}
MW_NET_PAPER = MetaWeightNet.paper().set_params(**VIRTUAL_STEP)
FMW_NET_PAPER = FirstOrderMetaWeightNet.paper().set_params(**VIRTUAL_STEP)

GCE = {"criterion": GeneralizedCrossEntropy}
SMOOTHING = {"criterion": nn.CrossEntropyLoss, "criterion__label_smoothing": 0.1}
BALANCED = {"class_weight": "balanced"}

uniform = partial(with_meta, method="uniform")
uniform_to_the_end = partial(uniform, temperature=1.0, early_stopping=False)

METHODS: dict[str, Method] = {
    "logistic": Method(partial(on_union, estimator=LOGISTIC), 0.1),
    "forest": Method(partial(on_union, estimator=FOREST), 1.5),
    "hgb": Method(partial(on_union, estimator=HGB), 0.0, boostings=1),
    "hgb-upweighted": Method(partial(on_union_upweighted, estimator=HGB), 0.0, boostings=1),
    "forest-upweighted": Method(partial(on_union_upweighted, estimator=FOREST), 1.5),
    "cleanlab-hgb": Method(partial(cleanlab_on_union, estimator=HGB), 0.5, boostings=6),
    "cleanlab-uniform": Method(cleanlab_with_meta, 16.0),
    "plain": Method(plain_on_union, 2.2),
    "plain-share": Method(uniform_to_the_end, 2.3),
    "early-stopped": Method(early_stopped, 2.3),
    "fine-tuned": Method(fine_tuned, 2.3),
    "meta-only": Method(meta_only, 1.6),
    "gce": Method(partial(plain_on_union, **GCE), 2.3),
    "gce-share": Method(partial(uniform_to_the_end, robust_meta_loss=False, **GCE), 2.3),
    "smoothing-share": Method(partial(uniform_to_the_end, **SMOOTHING), 2.3),
    "mw-net-published": Method(
        partial(with_meta, method=MetaWeightNet.paper(), **PAPER_TRAINING), 70.0, is_slow=True
    ),
    "mw-net-paper": Method(partial(in_our_training, method=MW_NET_PAPER), 6.5),
    "mw-net-paper-calibrated": Method(
        partial(in_our_training, method=MW_NET_PAPER, temperature="auto"), 6.5
    ),
    "fmw-net-paper": Method(partial(in_our_training, method=FMW_NET_PAPER), 3.2),
    "l2rw-paper": Method(partial(in_our_training, method=LearningToReweight.paper()), 5.5),
    "uniform": Method(uniform, 2.3),
    "mw-net": Method(with_meta, 2.6),
    "mw-net-uncalibrated": Method(partial(with_meta, temperature=1.0), 2.6),
    "fmw-net": Method(partial(with_meta, method="fmw-net"), 2.5),
    "l2rw": Method(partial(with_meta, method="l2rw"), 2.5),
    "forest-weighted": Method(partial(with_learned_weights, estimator=FOREST), 4.2),
    "hgb-weighted": Method(partial(with_learned_weights, estimator=HGB), 2.6, boostings=1),
    "catboost": Method(catboost, 10.0, is_slow=True),
    "realmlp": Method(partial(validated_network, name="RealMLP_TD"), 70.0, is_slow=True),
    "tabm": Method(partial(validated_network, name="TabM_D"), 300.0, is_slow=True),
    "cleanlab-realmlp": Method(partial(cleanlab_validated, name="RealMLP_TD"), 400, is_slow=True),
    "uniform-tabm": Method(partial(with_tabm, method="uniform"), 60.0, is_slow=True),
    "mw-net-tabm": Method(with_tabm, 60.0, is_slow=True),
    "untrusted-plain": Method(plain_on_noisy, 2.2),
    "untrusted-gce": Method(partial(plain_on_noisy, **GCE), 2.3),
    "untrusted-split": Method(split_off, 2.4),
    "untrusted-split-plain-loss": Method(partial(split_off, robust_meta_loss=False), 2.4),
    "untrusted-split-gce": Method(partial(split_off, **GCE), 1.4),
    "untrusted-pseudo": Method(pseudo_trusted, 4.5),
}

FOR_IMBALANCE: dict[str, Method] = {
    "balanced-forest": Method(balanced_forest, 1.0),
    "plain-adjusted": Method(partial(prior_adjusted, fit=plain_on_union), 2.3),
    "mw-net-adjusted": Method(partial(prior_adjusted, fit=with_meta), 2.7),
    "plain-balanced": Method(partial(plain_on_union, balanced=True), 2.3),
    "hgb-balanced": Method(
        partial(on_union, estimator=clone(HGB).set_params(**BALANCED)), 0.0, boostings=1
    ),
    "uniform-balanced": Method(partial(uniform, **BALANCED), 2.4),
    "mw-net-balanced": Method(partial(with_meta, **BALANCED), 2.7),
    "fmw-net-balanced": Method(partial(with_meta, method="fmw-net", **BALANCED), 2.6),
    "l2rw-balanced": Method(partial(with_meta, method="l2rw", **BALANCED), 2.6),
}
METHODS |= {name: replace(method, imbalanced_only=True) for name, method in FOR_IMBALANCE.items()}
METHODS |= {
    "lilaw": Method(partial(with_meta, method="lilaw"), 2.4, is_slow=True),
    "lilaw-paper": Method(partial(in_our_training, method=LiLAW()), 3.0, is_slow=True),
    "mw-net-cmw": Method(partial(with_meta, method__weighting="cmw"), 2.7, is_slow=True),
    "untrusted-lilaw": Method(partial(split_off, method="lilaw"), 2.4, is_slow=True),
    **{
        f"mw-net-paper-{weighting}": Method(
            partial(in_our_training, method=clone(MW_NET_PAPER).set_params(weighting=weighting)),
            6.5,
            is_slow=True,
        )
        for weighting in ("cmw", "lilaw")
    },
}
METHODS |= {
    f"mw-net-without-{part}": Method(partial(without, part), 2.6, is_slow=True) for part in WITHOUT
}

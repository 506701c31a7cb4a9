"""The scikit-learn shell: from a user's parameters to a fit, and from a fit to its results.

It may import every wing below: ``_training``, ``reweighting``, ``_data``, ``_tabular`` and
``_bilevel``. Read in this order:

1. ``classifier``: :class:`MetaWeightClassifier`, its parameters and methods;
2. ``fitting``: what its ``fit`` does;
3. ``build``, ``default_network``, ``components``: from parameters to a net, and whether it works;
4. ``net_params``: parameters by prefix, of the net and of the method;
5. ``label_quality``, ``diagnosis``: what a fit says of labels, and warns of;
6. ``fitted_state``, ``html``: what is kept after an error, and what a notebook shows.
"""

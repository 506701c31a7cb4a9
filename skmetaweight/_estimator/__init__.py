"""The scikit-learn shell: from a user's parameters to a fit, and from a fit to its results.

It may import every wing below: ``_training``, ``reweighting``, ``_data``, ``_tabular`` and
``_bilevel``. Read in this order:

1. ``classifier``: :class:`MetaWeightClassifier`, its parameters and methods;
2. ``fitting``: what its ``fit`` does;
3. ``build``, ``default_network``, ``seeding``, ``components``: from parameters to a net, what it
   draws from, and whether it works;
4. ``net_params``: parameters by prefix, of the net and of the method;
5. ``label_quality``, ``diagnosis``: what a fit says of labels, and warns of;
6. ``fitted_state``, ``resumption``: fits while others predict, and fits that go on;
7. ``saving``, ``file_content``: a fitted classifier as a file that runs no code;
   ``onnx_export``: as one for other runtimes; ``fingerprint``, ``settings_text``: what makes a
   fit the one that a checkpoint is of;
8. ``weighted``, ``usable_weights``: :class:`MetaWeightedEstimator`, which hands the weights on;
9. ``html``, ``svg``: what a notebook shows, and its picture.
"""

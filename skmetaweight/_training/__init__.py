"""The training loop, on top of skorch; no other wing imports skorch.

It may import ``_bilevel``, ``_data`` and ``reweighting``. Read in this order:

1. ``net``: the skorch network whose train step asks a reweighter for gradients;
2. ``prepared_net``, ``recorded_net``, ``rows_net``: below it, what a training needs, what
   callbacks are told, and how rows are placed, run and judged; ``loading``, ``building``: batches
   of other loaders, and what cannot be used;
3. ``schedule``, ``best_epoch``: the learning rate of each epoch, and which epoch is kept;
4. ``confirmation``, ``calibration``: whether withheld trusted rows say that labels are wrong, and
   how sure predictions are by those that are never taught;
5. ``values``, ``scalars``, ``archive``, ``learned_state``: what was learned as JSON and tensors,
   in a file that runs no code, and a net that goes on from it;
6. ``checkpoint``, ``fit_folder``, ``locks``: a fit that is kept after each epoch, and where;
   ``midway``, ``callback_state``: all that it has come to;
7. ``processes``, ``agreement``: the processes of a fit, and what they must have in common;
8. ``epoch``, ``on_screen``, ``tasks``: what the history, the screen and scikit-learn's callbacks
   are told.
"""

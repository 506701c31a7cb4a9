"""What reweighting costs: time and memory beside loops by hand, skorch and betty.

Read in this order:

1. ``tasks``: networks, and data of the right shape;
2. ``measure``, ``memory``, ``report``: how time and memory are measured and recorded;
3. ``baselines``: what ours is compared with;
4. ``contestants``: all by name, and the proof that two of them compute the same thing;
5. ``steps``, ``sections``: a training step; whole fits, growth, predict and import;
   ``defaults``: fits, searches and frames of the default network; ``rows_on_disk``;
   ``processes``: one fit on several;
6. ``__main__``: the command line.
"""

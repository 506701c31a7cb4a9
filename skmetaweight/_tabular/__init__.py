"""Tables: what the default network makes of their columns, and that network.

It needs numpy, scikit-learn and torch, and imports the wing ``_bilevel``. Read in this order:

1. ``columns``: which columns hold numbers, categories or dates;
2. ``tables``: missing values and categories, learned from training rows;
3. ``modules``: :class:`TabularMLP`, which standardises, encodes and embeds.
"""

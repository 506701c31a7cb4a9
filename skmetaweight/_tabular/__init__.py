"""Tables: what the default network makes of their columns, and that network.

It needs numpy, scikit-learn and torch, and imports the wing ``_bilevel``. Read in this order:

1. ``columns``: which columns hold numbers, categories or dates;
2. ``disguised``: numbers that are text, decimals or other objects;
3. ``reading``: rows as users have them become numbers and categories, checked;
4. ``crowds``, ``ranges``, ``units``, ``whole_numbers``: where numbers are expected, and what
   float32 and float64 would lose of them;
5. ``tables``: missing values and categories, learned from training rows; ``description``: what
   other programs need to do the same;
6. ``standardize``, ``sparse``: numbers by the training rows, and a first layer that leaves zeros
   out; ``modules``: :class:`TabularMLP`, which has them, encodes and embeds.
"""

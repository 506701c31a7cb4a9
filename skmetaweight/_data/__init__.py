"""What ``fit`` was given, checked once, and parted into training rows and trusted rows.

It may import ``_bilevel`` (what a batch is) and ``_tabular``. Read in this order:

1. ``fit_data``: what a fit was called with, and what it works on;
2. ``validation``: checks of rows, labels and weights; ``containers``: what rows come in;
   ``cells``, ``labels``: of Python objects;
3. ``meta_set``: where trusted rows come from, and the stream of meta batches;
4. ``batches``: rows that live on the device, and batches of them;
5. ``dataset_rows``, ``dataset_labels``: those of a user's torch Dataset; ``hugging_face``: of one
   of theirs; ``parquet``: a Dataset of Parquet files;
6. ``class_weight``, ``scale``: what classes count; whether X_meta looks like X;
7. ``unusual``: warnings of absurd numbers and unknown categories.
"""

"""The papers' experiments on images: their tasks, network, training and methods, small or whole.

Read in this order:

1. ``images``: the file of images, and its rows;
2. ``tasks``: long tails, simulated and human noise, by name, with published accuracies;
3. ``networks``: the residual network of the papers, a small one, augmentation;
4. ``texts``: weakly labelled texts, and a small Transformer for them;
5. ``recipes``: what all methods of a run share, and the sets of fits by name;
6. ``methods``: what is fitted, by name;
7. ``runner``: one fit, and its line of JSON;
8. ``pictures``, ``report``: what was learned, and tables beside the published ones;
9. ``__main__``: the command line.
"""

r"""The mathematics: losses of both levels, and what a row's weight does to the meta loss.

It needs torch alone and imports no other wing. Read in this order:

1. ``objective``: the losses of both levels and the passes; ``gradients``: theirs, by name;
   ``stage``: what of them a fit moves on; ``certainties``: two probabilities of each row;
2. ``alignments``: :math:`a_i = \langle \nabla L_{meta}, \nabla \ell_i \rangle`, exactly;
3. ``chain``: the same layer by layer, without repeating the training pass;
4. ``row_gradients``: the same where rows do not mix, from one backward pass;
5. ``last_layer``: its part that the training pass knows for nothing;
6. ``forward``: running a module with other parameters, or with its layers watched;
7. ``randomness``: dropout with a generator of its own, and drawing the same numbers once more;
8. ``ranks``: one batch on several processes.
"""

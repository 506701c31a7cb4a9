"""What reweighting gains: fits of many methods on many tasks, and a report that compares them.

Read in this order:

1. ``data_sets``: the folder of tables;
2. ``tasks``: a data set, a kind of label noise, some trusted rows, a seed;
3. ``groups``: which data sets go with which kinds of noise, by name;
4. ``methods``: what is fitted, by name;
5. ``scores``: how probabilities are judged;
6. ``runner``: the grid, and its fits as lines of JSON;
7. ``comparison``: statistics over many tasks;
8. ``report``, ``tables``, ``critical_difference``: Markdown and pictures of them;
9. ``__main__``: the command line.

``public_data`` makes a folder of data sets for those who have none.
"""

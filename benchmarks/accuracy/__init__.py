"""What reweighting gains: fits of many methods on many tasks, and a report that compares them.

Read in this order:

1. ``tasks``: a data set, a kind of label noise, some trusted rows, a seed;
2. ``methods``: what is fitted, by name;
3. ``runner``: the grid, and its fits as lines of JSON;
4. ``comparison``: statistics over many tasks;
5. ``report``, ``critical_difference``: Markdown and pictures of them;
6. ``__main__``: the command line.

``public_data`` makes a folder of data sets for those who have none.
"""

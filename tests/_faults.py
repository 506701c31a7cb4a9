"""A fault that must be importable in another process."""

import multiprocessing
import os

from skorch.callbacks import Callback


class DieIn(Callback):
    """Ends a process at once, as one that is killed, if its name begins so."""

    def __init__(self, name):
        self.name = name

    def on_epoch_begin(self, net, **kwargs):
        if multiprocessing.current_process().name.startswith(self.name):
            os._exit(9)

"""What a CUDA graph does, on the CPU: the same operations again, in the same memory."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Recorder(TorchDispatchMode):
    """Keeps all operations, and what the memory that they found held before the first of them."""

    def __init__(self):
        super().__init__()
        self.calls = []
        self._before = {}
        self._made = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        for tensor in _tensors((args, kwargs)):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in self._made | self._before.keys():
                self._before[storage.data_ptr()] = (storage, storage.clone())
        result = func(*args, **kwargs)
        self._made |= {tensor.untyped_storage().data_ptr() for tensor in _tensors(result)}
        self.calls.append((func, args, kwargs, result))
        return result

    def undo(self):
        for storage, content in self._before.values():
            storage.copy_(content)


def _tensors(tree):
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def record(work):
    """Stand in for record_cuda_graph: record work, which then has had no effect."""
    generator = torch.get_rng_state()
    with _Recorder() as recorder:
        result = work()
    recorder.undo()
    torch.set_rng_state(generator)

    @torch.no_grad()
    def replay():
        for func, args, kwargs, result in recorder.calls:
            again = func(*args, **kwargs)
            for old, new in zip(_tensors(result), _tensors(again), strict=True):
                if old.data_ptr() != new.data_ptr():  # neither a view nor changed in place
                    old.copy_(new)

    return replay, result

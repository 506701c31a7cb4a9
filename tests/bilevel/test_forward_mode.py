"""Forward mode is loaded once, and no warning or filter of it reaches a user."""

import subprocess
import sys

import pytest

SCRIPT = """
import warnings
warnings.filterwarnings("error", ".*jit.script", DeprecationWarning)
before = list(warnings.filters)
import skmetaweight._bilevel.alignments
assert [entry for entry in warnings.filters if "_jit" in str(entry[1])] == []
assert [entry for entry in before if entry not in warnings.filters] == []
import torch
{call}
"""
CALLS = {
    "dual numbers": """
with torch.autograd.forward_ad.dual_level():
    torch.autograd.forward_ad.make_dual(torch.zeros(1), torch.zeros(1))
""",
    "jvp of a layer norm": """
x = torch.ones(2, 3)
torch.func.jvp(lambda x: torch.nn.functional.layer_norm(x, (3,)), (x,), (x,))
""",
}


@pytest.mark.parametrize("call", CALLS)
def test_a_user_sees_nothing_of_how_torch_loads_it(call: str) -> None:
    command = [sys.executable, "-c", SCRIPT.format(call=CALLS[call])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""Files from anywhere, opened safely: nothing in them is executed, and no claim in them costs memory before it is checked.

* :func:`open_npz` for archives of arrays, read whole or in blocks of rows;
* :func:`read_npy` for single arrays, mapped;
* :func:`read_safetensors` and :func:`read_torch_state` for weights.

All raise :class:`difrob.errors.UserError` that names the file and what is wrong with it.
"""

from difrob.foreign.npy import read_npy
from difrob.foreign.npz import NpzFile, open_npz
from difrob.foreign.weights import read_safetensors, read_torch_state

__all__ = ["NpzFile", "open_npz", "read_npy", "read_safetensors", "read_torch_state"]

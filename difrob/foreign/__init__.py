"""Files from anywhere, opened safely: nothing in them is executed, and no claim in them costs memory before it is checked.

* :func:`open_npz` for archives of arrays, read whole or in blocks of rows;
* :func:`read_npy` for single arrays, mapped;
* :func:`read_safetensors` and :func:`read_torch_state` for weights;
* :func:`read_edm_snapshot` for networks that are pickled with their code, which stays unread.

All raise :class:`difrob.errors.UserError` that names the file and what is wrong with it.
"""

from difrob.foreign.edm_snapshots import EDMSnapshot, read_edm_snapshot
from difrob.foreign.npy import read_npy
from difrob.foreign.npz import NpzFile, open_npz
from difrob.foreign.weights import read_safetensors, read_torch_state

__all__ = [
    "EDMSnapshot",
    "NpzFile",
    "open_npz",
    "read_edm_snapshot",
    "read_npy",
    "read_safetensors",
    "read_torch_state",
]

"""What one of two ranks does and sees; run twice by ``test_company.py``, each time as a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import torch

from difrob.memory import MicroBatches
from difrob.ranks.shares import ALONE, Ranks
from difrob.worker.company import join, leave


def main(meeting: Path, rank: int) -> None:
    assert Ranks.here() == ALONE
    join(meeting, rank, 2, torch.device("cpu"))
    ranks = Ranks.here()
    assert (ranks.rank, ranks.world, ranks.leads) == (rank, 2, rank == 0)

    # Nobody on another machine can reach them.
    if sys.platform in ("linux", "darwin"):
        connections = psutil.Process().net_connections("tcp")
        assert connections and {connection.laddr.ip for connection in connections} <= {"127.0.0.1", "::1"}

    # Shares are disjoint and complete, also of an odd number.
    assert list(range(7))[ranks.share(7)] == ([0, 2, 4, 6] if rank == 0 else [1, 3, 5])

    # More than one bucket and more than one type; a transposed tensor keeps its layout.
    large = torch.full((20 << 20,), float(rank + 1))
    tensors = [large, torch.tensor([rank + 1]), torch.arange(6.0).view(2, 3).t().mul(rank + 1), torch.ones(2).double()]
    ranks.add_up(tensors)
    assert bool((large == 3).all())
    assert tensors[1].tolist() == [3]
    assert tensors[2].tolist() == [[0, 9], [3, 12], [6, 15]] and tensors[2].stride() == (1, 3)
    assert tensors[3].tolist() == [2, 2]

    mean = torch.tensor([float(rank)])
    ranks.average([mean])
    assert mean.item() == 0.5

    assert ranks.told(7 if rank == 0 else 9) == 7
    assert not ranks.differ([large, torch.tensor([1.5, -0.0])])
    assert ranks.differ([large, torch.tensor([0.0 if rank else -0.0])])

    said: list[tuple[int, str]] = []
    pieces = MicroBatches(8 if rank else 16, may_shrink=True, tell=lambda size, text: said.append((size, text)))
    pieces.agree(ranks)
    assert pieces.size == 8
    assert said == ([] if rank else [(8, "another device of this run ran out of memory; from here on 8 at once")])
    leave()
    assert Ranks.here() == ALONE


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

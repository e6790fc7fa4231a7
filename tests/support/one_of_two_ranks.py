"""What one of two ranks does and sees; run twice by ``test_meeting.py``, each time as a process of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import torch

from difrob.errors import Stopped
from difrob.memory import MicroBatches
from difrob.ranks.following_recorder import FollowingRecorder
from difrob.ranks.leading_recorder import LeadingRecorder
from difrob.ranks.meeting import EnvironmentMeeting, FileMeeting, Meeting, leave
from difrob.ranks.orders import await_order
from difrob.ranks.shares import ALONE, Ranks
from difrob.runs import RunState, Workspace
from difrob.runs.interface import Recorder
from difrob.runs.recorder import RunRecorder
from difrob.runs.stop import StopControl
from difrob.specs import TrainClassifierSpec


def main(folder: Path, meeting: Meeting) -> None:
    assert Ranks.here() == ALONE
    meeting.join(torch.device("cpu"))
    ranks = Ranks.here()
    rank = meeting.rank
    assert (ranks.rank, ranks.world, ranks.leads) == (rank, meeting.world, rank == 0) and ranks.world == 2
    nobody_on_another_machine_reaches_them(store_port=getattr(meeting, "port", None))
    they_exchange(ranks)
    (folder / f"sums.{rank}").write_bytes(b"".join(tensor.numpy().tobytes() for tensor in sums_of_noise(ranks)))
    for grade in ("stop", "abort"):
        both_stop_at_one_point(Workspace(folder / "workspace"), ranks, grade)
    leave()
    assert Ranks.here() == ALONE


def nobody_on_another_machine_reaches_them(store_port: int | None) -> None:
    """Apart from the port at which PyTorch lets processes meet over the network, whose address is not ours to choose."""
    if sys.platform in ("linux", "darwin"):
        connections = psutil.Process().net_connections("tcp")
        own = [connection.laddr.ip for connection in connections if connection.laddr.port != store_port]
        assert own and set(own) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, own
        # Where the machine's own name leads to it alone, the above would hold without a word to Gloo.
        assert os.environ["GLOO_SOCKET_IFNAME"] in ("lo", "lo0")


def they_exchange(ranks: Ranks) -> None:
    rank = ranks.rank
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


def sums_of_noise(ranks: Ranks) -> list[torch.Tensor]:
    """Sums and means whose last bits depend on how they are taken."""
    generator = torch.Generator().manual_seed(ranks.rank)
    tensors = [torch.randn(100_003, generator=generator, dtype=dtype) for dtype in (torch.float32, torch.float64)]
    means = [tensor.clone() for tensor in tensors]
    ranks.add_up(tensors)
    ranks.average(means)
    return [*tensors, *means]


def both_stop_at_one_point(workspace: Workspace, ranks: Ranks, grade: str) -> None:
    """The leader is asked to stop before its third safe point: all come to that one, and none goes beyond it."""
    control = StopControl()
    writer = RunRecorder(workspace, grade, TrainClassifierSpec(), control=control) if ranks.leads else None
    recorder: Recorder
    if writer is not None:
        recorder = LeadingRecorder(writer, ranks)
    else:
        recorder = FollowingRecorder(workspace, grade, None, lambda: await_order(ranks))
    passed = 0
    try:
        while True:
            if ranks.leads and passed == 2:
                control.request(grade)
            recorder.check_stop()
            passed += 1
    except Stopped as stopped:
        assert (stopped.grade, passed) == (grade, 2)
    if writer is not None:
        writer.finish(RunState.CANCELLED)


if __name__ == "__main__":
    given = Path(sys.argv[1])
    by_file = len(sys.argv) == 3
    found = FileMeeting(given, int(sys.argv[2]), 2) if by_file else EnvironmentMeeting.here()
    assert by_file == ("RANK" not in os.environ)
    main(given, found)

"""Signals taken over and given back, and the last word where somebody swallows the first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from difrob.signals import Ending, ended_by_system, exit_code

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are not sent on Windows")

SWALLOWING = """
import os, signal, time
from difrob import signals
signals.GRACE_SECONDS = {grace}
with signals.Ending().watched():
    try:
        os.kill(os.getpid(), signal.{first})
    except KeyboardInterrupt:
        print("swallowed", flush=True)
    {then}
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("first", "then", "grace", "code"),
    [
        ("SIGINT", "pass", 0.1, 130), ("SIGTERM", "pass", 0.1, 143),
        ("SIGINT", "os.kill(os.getpid(), signal.SIGTERM)", 3600, 143),
        ("SIGINT", "os.kill(os.getpid(), signal.SIGINT)", 3600, 130),
    ],
)  # fmt: skip
def test_a_signal_that_was_swallowed_ends_the_process_all_the_same(
    first: str, then: str, grace: float, code: int
) -> None:
    script = SWALLOWING.format(first=first, then=then, grace=grace)
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50)
    assert (process.returncode, process.stdout.strip()) == (code, "swallowed"), process.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_hears_of_a_signal_once_and_gives_it_back(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    ending = Ending()
    with pytest.raises(KeyboardInterrupt), ending.watched():
        os.kill(os.getpid(), number)
        signal.pause()
    assert ending.number == number and exit_code(ending.number) == {2: 130, 15: 143}[number]
    with ended_by_system():
        assert signal.getsignal(number) is signal.SIG_DFL
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before

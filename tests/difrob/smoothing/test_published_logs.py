"""The reader of published logs: their odd forms, their faults, and the table that they must give."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from difrob.errors import UserError
from difrob.smoothing.curves import certified_accuracy, radius_contributions
from difrob.smoothing.published_logs import parse_duration, read_certification_log

HEADER = "idx\tlabel\tpredict\tradius\tcorrect\ttime"
RADII = np.array([0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5])


def write(folder: Path, text: str) -> Path:
    path = folder / "log.tsv"
    path.write_bytes(text.encode())
    return path


def test_rows_with_crlf_and_both_forms_of_time(tmp_path: Path) -> None:
    log = read_certification_log(
        write(tmp_path, f"{HEADER}\r\n0\t3\t3\t0.502\t1\t0:00:13.126220\r\n20\t7\t-1\t0.0\t0\t12.5\r\n")
    )
    assert log.indices.tolist() == [0, 20] and log.labels.tolist() == [3, 7] and log.predictions.tolist() == [3, -1]
    assert log.radii.tolist() == [0.502, 0.0]
    assert log.seconds == pytest.approx([13.12622, 12.5])


def test_a_running_total_in_correct_is_not_believed(tmp_path: Path) -> None:
    """The denoised-smoothing code writes 1, 1, 2 where 1, 0, 1 is meant."""
    text = f"{HEADER}\n0\t3\t3\t0.5\t1\t1.0\n1\t4\t2\t0.5\t1\t1.0\n2\t5\t5\t0.5\t2\t1.0\n"
    log = read_certification_log(write(tmp_path, text))
    assert certified_accuracy(log.labels, log.predictions, log.radii, np.array([0.5])).accuracy[0] == pytest.approx(
        2 / 3
    )


def test_a_header_alone_is_an_empty_log(tmp_path: Path) -> None:
    log = read_certification_log(write(tmp_path, HEADER + "\n"))
    assert len(log) == 0 and log.labels.dtype == np.int64 and log.radii.dtype == np.float64


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    log = read_certification_log(write(tmp_path, "idx\tradius\tpredict\tlabel\n5\t0.25\t1\t2\n"))
    assert (log.indices[0], log.radii[0], log.predictions[0], log.labels[0]) == (5, 0.25, 1, 2)
    assert np.isnan(log.seconds[0])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "idx"),
        ("a,b,c\n1,2,3\n", "idx"),
        ("idx\tlabel\tpredict\n0\t1\t1\n", "radius"),
        (HEADER + "\n0\t3\t3\t0.5\t1\t1.0\n1\t3\tx\t0.5\t1\t1.0\n", "line 3"),
        (HEADER + "\n0\t3\n", "line 2"),
        (HEADER + "\n0\t3\t3\tnan\t1\t1.0\n", "line 2"),
        (HEADER + "\n0\t3\t3\t-0.5\t1\t1.0\n", "line 2"),
        (HEADER + "\n0\t3\t3\t0.5\t1\t1:2\n", "line 2"),
    ],
)
def test_what_is_no_log_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(UserError, match=named):
        read_certification_log(write(tmp_path, text))


def test_missing_and_binary_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        read_certification_log(tmp_path / "absent.tsv")
    (tmp_path / "log.tsv").write_bytes(b"\x93NUMPY\x01\x00\xff\xfe")
    with pytest.raises(UserError, match="not a text file"):
        read_certification_log(tmp_path / "log.tsv")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("12.5", 12.5), ("0:00:21.171745", 21.171745), ("2:03:04", 7384.0), ("1 day, 0:00:01", 86401.0), ("0.0", 0.0)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


def published_table(readme: str) -> dict[str, list[float]]:
    """The table of the data folder: log -> n, accuracy at seven radii, average radius, share of abstentions."""
    rows = re.findall(r"^\| (cifar10\S*) \| (.+) \|$", readme, flags=re.MULTILINE)
    return {name: [float(cell) for cell in cells.split("|")] for name, cells in rows}


def test_published_logs_give_the_published_table(shared_data: Path) -> None:
    table = published_table((shared_data / "README.md").read_text(encoding="utf-8"))
    if not (shared_data / "certify-logs").is_dir() or not table:
        pytest.skip("no published certification logs here")
    assert len(table) == 24
    for name, (n, *numbers) in table.items():
        log = read_certification_log(shared_data / "certify-logs" / name)
        curve = certified_accuracy(log.labels, log.predictions, log.radii, RADII)
        radius = radius_contributions(log.labels, log.predictions, log.radii).mean()
        found = [*curve.accuracy, radius, (log.predictions == -1).mean()]
        assert len(log) == n
        assert [f"{value:.4f}" for value in found] == [f"{value:.4f}" for value in numbers], name
        assert np.isfinite(log.seconds).all()

"""The number of the descriptor that events are appended to, and what becomes of them when something else closes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

START = """
import os, resource, sys
from pathlib import Path

folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
from langchain_plugin.active_file import ActiveFile
from langchain_plugin.losses import Losses
from langchain_plugin.named_file import create
from langchain_plugin.spool import Spool

def file_named(name):
    return ActiveFile(create(folder / name), folder / name, lambda events: None)

def opened(many):
    return [os.open(folder / f"other-{number}", os.O_CREAT | os.O_RDWR) for number in range(many)]
"""


def run(code: str, folder: Path, limit: int) -> None:
    """In a process of its own, since it closes what it did not open; it may have so many descriptors."""
    subprocess.run(
        [sys.executable, "-c", START + dedent(code), str(folder), str(limit)],
        check=True,
        timeout=60,
    )


def test_its_number_is_far_above_those_that_a_program_s_own_files_get(tmp_path: Path) -> None:
    run(
        """
        file = file_named("own.jsonl")
        [own] = opened(1)
        assert file.is_out_of_the_way
        assert own < file.fd / 2
        assert not os.get_inheritable(file.fd)
        """,
        tmp_path,
        1_024,
    )


def test_each_file_gets_another_number_though_those_before_it_are_closed(tmp_path: Path) -> None:
    run(
        """
        numbers = []
        for name in range(32):
            file = file_named(str(name))
            numbers.append(file.fd)
            file.close()
        assert sorted(numbers) == list(range(1_024 - 32, 1_024))
        """,
        tmp_path,
        1_024,
    )


def test_what_waits_in_a_deleted_file_is_written_to_one_that_is_out_of_the_way_too(tmp_path: Path) -> None:
    run(
        """
        file = file_named("own.jsonl")
        assert file.append(b"1\\n", 1) is None
        file.path.unlink()
        again = file.written_again()
        assert again.is_out_of_the_way
        assert again.fd != file.fd
        """,
        tmp_path,
        1_024,
    )


def test_a_write_says_at_once_that_something_closed_it_however_many_files_were_opened_since(tmp_path: Path) -> None:
    run(
        """
        file = file_named("own.jsonl")
        assert file.append(b"1\\n", 1) is None
        os.close(file.fd)
        others = opened(50)
        assert file.append(b"2\\n", 1) is not None
        assert file.fd == -1
        assert [os.fstat(other).st_size for other in others] == [0] * 50
        """,
        tmp_path,
        1_024,
    )


@pytest.mark.parametrize("limit", [64, 199, 256])
def test_where_no_number_is_far_it_is_looked_at_before_each_append(limit: int, tmp_path: Path) -> None:
    # So few numbers, or so many files open, that the closed one's number is the next file's.
    run(
        """
        if int(sys.argv[2]) >= 200:
            opened(150)
        file = file_named("own.jsonl")
        assert not file.is_out_of_the_way
        assert file.append(b"1\\n", 1) is None
        number = file.fd
        os.close(number)
        assert os.open(folder / "its-number", os.O_CREAT | os.O_RDWR) == number
        assert file.append(b"2\\n", 1) is not None
        assert (folder / "its-number").read_bytes() == b""
        """,
        tmp_path,
        limit,
    )


@pytest.mark.parametrize(("opened", "limit"), [(300, 512), (200, 256), (150, 1024)])
def test_a_program_with_many_files_that_closes_and_opens_them_again_finds_no_event_in_them(
    opened: int, limit: int, tmp_path: Path
) -> None:
    run(
        f"""
        opened({opened})
        file = file_named("own.jsonl")
        assert file.append(b"1\\n", 1) is None
        os.closerange(3, 4_096)
        others = opened({opened + 20})
        assert file.append(b"2\\n", 1) is not None
        assert [os.fstat(other).st_size for other in others] == [0] * {opened + 20}
        """,
        tmp_path,
        limit,
    )


def test_it_keeps_a_low_number_where_something_else_uses_the_high_ones(tmp_path: Path) -> None:
    run(
        """
        taken = os.open(folder / "other", os.O_CREAT | os.O_RDWR)
        for number in range(1_024 - 32, 1_023):
            os.dup2(taken, number)
        file = file_named("own.jsonl")  # its turn would be 1,023, which is free
        assert (file.fd, file.is_out_of_the_way) == (1_023, True)
        os.close(file.fd)
        file = file_named("own.jsonl")
        assert not file.is_out_of_the_way
        assert file.fd < 20
        """,
        tmp_path,
        1_024,
    )


def test_two_spools_whose_files_are_closed_at_once_never_write_into_each_other_s(tmp_path: Path) -> None:
    run(
        """
        def spool_in(name):
            return Spool(folder / name, Losses(), max_bytes=10**7, wake=lambda: None)

        one, other = spool_in("one"), spool_in("other")
        one.append(b"one\\n", 1)
        other.append(b"other\\n", 1)
        os.closerange(3, 4_096)
        other.append(b"other\\n", 1)
        one.append(b"one\\n", 1)
        for name in "one", "other":
            lines = [line for path in (folder / name).glob("*.jsonl") for line in path.read_text().split()]
            assert lines == [name, name], (name, lines)
        """,
        tmp_path,
        1_024,
    )

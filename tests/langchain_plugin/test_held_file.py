"""The number of the descriptor that events are appended to, and what becomes of them when something else closes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from langchain_plugin.active_file import ActiveFile
from langchain_plugin.held_file import is_out_of_the_way
from langchain_plugin.named_file import create

NUMBERS_ARE_FEW = """
import os, resource, sys
from pathlib import Path

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from langchain_plugin.active_file import ActiveFile
from langchain_plugin.named_file import create

folder = Path(sys.argv[1])
file = ActiveFile(create(folder / "own.jsonl"), folder / "own.jsonl", lambda events: None)
assert file.append(b"1\\n", 1) is None
number = file.fd
os.close(number)
assert os.open(folder / "other", os.O_CREAT | os.O_RDWR) == number
assert file.append(b"2\\n", 1) is not None
assert (folder / "other").read_bytes() == b""
"""


def file_in(folder: Path) -> ActiveFile:
    return ActiveFile(create(folder / "own.jsonl"), folder / "own.jsonl", lambda events: None)


def test_its_number_is_far_above_those_that_a_program_s_own_files_get(tmp_path: Path) -> None:
    file = file_in(tmp_path)
    own = os.open(tmp_path / "other", os.O_CREAT | os.O_RDWR)
    assert is_out_of_the_way(file.fd)
    assert own < file.fd
    assert not os.get_inheritable(file.fd)
    os.close(own)
    file.close()


def test_a_write_says_at_once_that_something_closed_it_however_many_files_were_opened_since(tmp_path: Path) -> None:
    file = file_in(tmp_path)
    assert file.append(b"1\n", 1) is None
    os.close(file.fd)
    others = [os.open(tmp_path / f"{number}", os.O_CREAT | os.O_RDWR) for number in range(50)]
    error = file.append(b"2\n", 1)
    assert error is not None
    assert file.fd == -1
    assert [os.fstat(other).st_size for other in others] == [0] * 50
    for other in others:
        os.close(other)


def test_where_no_high_number_is_to_be_had_it_is_looked_at_before_each_append(tmp_path: Path) -> None:
    # A limit below the lowest of the high numbers, and a file that got the closed one's number.
    subprocess.run([sys.executable, "-c", NUMBERS_ARE_FEW, str(tmp_path)], check=True, timeout=60)

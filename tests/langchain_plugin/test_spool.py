from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_plugin.active_file import ActiveFile
from langchain_plugin.adoption import Adoption
from langchain_plugin.held_file import HeldFile
from langchain_plugin.losses import Losses
from langchain_plugin.memory_lines import MEMORY_MAX_BYTES
from langchain_plugin.named_file import create
from langchain_plugin.segment import WINDOW_BYTES, read_lines
from langchain_plugin.spool import Spool
from langchain_plugin.waiting import look_into

ROOT = Path(__file__).parents[2]


def spool_in(folder: Path, *, max_bytes: int = 10_000_000) -> Spool:
    return Spool(folder, Losses(), max_bytes=max_bytes, wake=lambda: None)


def open_file(spool: Spool) -> ActiveFile:
    assert spool._file is not None
    return spool._file


def line(number: int, size: int = 0) -> bytes:
    return json.dumps({"type": "llm_call", "call_id": str(number), "padding": "x" * size}).encode() + b"\n"


def numbers(spool: Spool, *, settle: bool = False) -> list[int]:
    """What waits, in order; settled when asked."""
    found: list[int] = []
    for source in spool.sources():
        while lines := source.read(500, 900_000):
            found += [int(json.loads(read.data)["call_id"]) for read in lines]
            if not settle:
                break
            source.settle(lines[-1].end, len(lines))
            source = spool.sources()[0]
    return found


def adopted(folder: Path, *, except_for: set[Path] | None = None) -> list[int]:
    """What dead processes left, as the next one finds it."""
    adoption = Adoption(folder, Losses())
    adoption.look(except_for=except_for or set())
    found = [json.loads(read.data)["call_id"] for segment in adoption.segments for read in segment.read(500, 900_000)]
    adoption.release()
    return [int(number) for number in found]


def run_in_a_process(code: str, *arguments: str, expected: int = 0) -> str:
    process = subprocess.run(
        [sys.executable, "-c", dedent(code), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == expected, process.stderr
    return process.stdout


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nobody_else_can_read_it_and_no_other_program_inherits_it(tmp_path: Path) -> None:
    spool = spool_in(tmp_path / "state" / "spool")
    spool.append(line(1), 1)
    (path,) = (tmp_path / "state" / "spool").iterdir()
    assert path.name == f"{spool.client_id}.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert fcntl.fcntl(open_file(spool).fd, fcntl.F_GETFL) & os.O_APPEND
    assert fcntl.fcntl(open_file(spool).fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC


def test_an_append_is_one_write_however_many_events_it_has(tmp_path: Path) -> None:
    written = run_in_a_process(
        """
        import re, sys
        from pathlib import Path
        from langchain_plugin.losses import Losses
        from langchain_plugin.spool import Spool
        spool = Spool(Path(sys.argv[1]), Losses(), max_bytes=10**7, wake=lambda: None)
        spool.append(b"{}\\n", 1)
        def writes():
            return int(re.search(r"syscw: (\\d+)", Path("/proc/self/io").read_text())[1])
        before = writes()
        for _ in range(1000):
            spool.append(b"{}\\n{}\\n{}\\n", 3)
        print(writes() - before)
        """,
        str(tmp_path),
    )
    assert int(written) == 1000


def test_what_was_appended_outlives_a_kill_in_the_next_instant(tmp_path: Path) -> None:
    run_in_a_process(
        """
        import os, signal, sys
        from pathlib import Path
        from langchain_plugin.losses import Losses
        from langchain_plugin.spool import Spool
        spool = Spool(Path(sys.argv[1]), Losses(), max_bytes=10**7, wake=lambda: None)
        for number in range(1000):
            spool.append(b'{"number": %d}\\n' % number, 1)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        str(tmp_path),
        expected=-signal.SIGKILL,
    )
    (path,) = tmp_path.iterdir()
    assert [json.loads(text)["number"] for text in path.read_text().splitlines()] == list(range(1000))


def test_the_file_is_emptied_when_all_of_it_is_settled_and_not_before(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    spool.append(line(1) + line(2), 2)
    active = spool.sources()[0]
    first, second = active.read(10, 1000)
    active.settle(first.end, 1)
    assert (numbers(spool), spool.pending) == ([2], 1)
    active = spool.sources()[0]
    spool.append(line(3), 1)
    active.settle(second.end, 1)
    assert (numbers(spool), spool.pending) == ([3], 1)
    assert numbers(spool, settle=True) == [3]
    (path,) = tmp_path.iterdir()
    assert (path.stat().st_size, spool.pending, spool.pending_bytes) == (0, 0, 0)


def test_a_steady_stream_does_not_grow_the_folder(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    largest = 0
    seen: list[int] = []
    for number in range(3000):
        spool.append(line(number, 1000), 1)
        if number % 100 == 99:
            # Always ten behind: the file is never fully settled while it is the active one.
            for source in spool.sources():
                if lines := source.read(spool.pending - 10, 900_000):
                    source.settle(lines[-1].end, len(lines))
                    seen += [int(json.loads(read.data)["call_id"]) for read in lines]
            spool.seal(segment_bytes=200_000)
            largest = max(largest, sum(path.stat().st_size for path in tmp_path.iterdir()))
    seen += numbers(spool, settle=True)
    assert seen == list(range(3000))
    assert largest < 400_000, "of three million bytes that went through"
    assert spool.pending == 0
    spool.seal(segment_bytes=1)
    assert len(list(tmp_path.iterdir())) == 1


def test_an_old_file_is_sealed_even_when_it_is_short(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    spool.append(line(1), 1)
    spool.seal()
    assert len(list(tmp_path.glob("*.jsonl"))) == 1
    spool.seal(segment_seconds=0)
    spool.append(line(2), 1)
    assert sorted(path.name.count(".") for path in tmp_path.glob("*.jsonl")) == [1, 2]
    assert numbers(spool, settle=True) == [1, 2]


def test_what_does_not_fit_is_counted_and_what_waits_is_kept(tmp_path: Path) -> None:
    spool = spool_in(tmp_path, max_bytes=5 * len(line(0)))
    for number in range(8):
        spool.append(line(number), 1)
    assert numbers(spool, settle=True) == [0, 1, 2, 3, 4]
    assert spool._losses.by_reason() == {"spool_full": 3}
    spool.append(line(9), 1)
    assert numbers(spool) == [9], "and there is room again"


def test_other_processes_files_count_against_the_same_bound(tmp_path: Path) -> None:
    spool = spool_in(tmp_path, max_bytes=1000)
    spool.make_room(others_bytes=1000 - 2 * len(line(0)))
    for number in range(3):
        spool.append(line(number), 1)
    assert numbers(spool) == [0, 1]


def test_an_exit_leaves_no_empty_file_and_a_later_append_has_one_again(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    spool.append(line(1), 1)
    spool.close_if_empty()
    assert len(list(tmp_path.iterdir())) == 1, "an event waits in it"
    numbers(spool, settle=True)
    spool.close_if_empty()
    assert list(tmp_path.iterdir()) == []
    spool.append(line(2), 1)
    assert numbers(spool) == [2]
    assert len(list(tmp_path.iterdir())) == 1


# ── a disk that fails ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_full_disk_tears_no_line_and_loses_no_event(tmp_path: Path) -> None:
    told = run_in_a_process(
        """
        import json, resource, signal, sys
        from pathlib import Path
        from langchain_plugin.losses import Losses
        from langchain_plugin.spool import Spool
        # The kernel writes what still fits, then refuses: as on a full disk, a short write comes first.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        spool = Spool(Path(sys.argv[1]), Losses(), max_bytes=10**7, wake=lambda: None)
        for number in range(100):
            spool.append(b'{"call_id": "%d", "padding": "0123456789"}\\n' % number, 1)
        on_disk = [path.read_bytes() for path in Path(sys.argv[1]).iterdir()]
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        spool.append(b'{"call_id": "100"}\\n', 1)
        read = [line.data for source in spool.sources() for line in source.read(500, 900_000)]
        print(json.dumps({
            "ids": sorted(int(json.loads(data)["call_id"]) for data in read),
            "pending": spool.pending,
            "whole": on_disk[0].endswith(b"}\\n"),
            "bytes": len(on_disk[0]),
            "complaint": spool.complaint.strerror,
        }))
        """,
        str(tmp_path),
    )
    found: dict[str, Any] = json.loads(told)
    assert found["ids"] == list(range(101))
    assert found["pending"] == 101
    assert found["whole"]
    assert 900 < found["bytes"] <= 1000
    assert found["complaint"]


def test_what_waits_in_memory_is_written_at_exit_where_the_folder_can_be_used_again(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.write_text("a file in its place")
    spool = spool_in(folder)
    for number in range(3):
        spool.append(line(number), 1)
    assert (spool.save_memory(), spool.pending) == (3, 3)

    folder.unlink()
    assert (spool.save_memory(), spool.pending) == (0, 3)
    (file,) = folder.glob("*.jsonl")
    assert file.read_bytes() == b"".join(line(number) for number in range(3))
    for source in spool.sources():
        lines = source.read(10, 900_000)
        if lines:
            source.settle(lines[-1].end, len(lines))
    assert spool.pending == 0


DISK_FULL_FOR_A_MOMENT = """
    import os, resource, signal, sys
    from pathlib import Path
    from langchain_plugin.losses import Losses
    from langchain_plugin.spool import Spool
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    spool = Spool(Path(sys.argv[1]), Losses(), max_bytes=10**7, wake=lambda: None)
    def append(number):
        spool.append(b'{{"call_id": "%d"}}\\n' % number, 1)
    append(0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
    for number in range(1, 4):
        append(number)
    mark = spool.mark()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    {then}
    assert spool.pending == {kept}, spool.pending
    assert not spool.has_settled(mark)
    os.kill(os.getpid(), signal.SIGKILL)
    """


@pytest.mark.parametrize(
    ("then", "kept"),
    [
        pytest.param("append(4)", [0, 1, 2, 3, 4], id="the next event"),
        pytest.param("assert spool.save_memory() == 0", [0, 1, 2, 3], id="the next look"),
    ],
)
def test_what_a_full_disk_kept_in_memory_is_written_when_there_is_space_again(
    then: str, kept: list[int], tmp_path: Path
) -> None:
    run_in_a_process(DISK_FULL_FOR_A_MOMENT.format(then=then, kept=len(kept)), str(tmp_path), expected=-signal.SIGKILL)
    assert sorted(adopted(tmp_path)) == kept


def test_what_is_written_from_memory_while_it_is_being_sent_costs_no_later_event(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.write_text("a file in its place")
    spool = spool_in(folder)
    for number in range(3):
        spool.append(line(number), 1)
    memory = spool.sources()[-1]
    sent = memory.read(10, 1000)
    folder.unlink()
    spool.save_memory()
    folder.rename(tmp_path / "moved")
    folder.write_text("a file in its place")
    os.close(open_file(spool).fd)
    for number in range(3, 6):
        spool.append(line(number), 1)
    memory.settle(sent[-1].end, len(sent))
    assert numbers(spool) == [3, 4, 5], "what was sent waits in the file, and is sent again; counted once"


def test_an_event_that_finds_no_room_for_what_is_in_memory_leaves_it_there(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.write_text("a file in its place")
    spool = spool_in(folder, max_bytes=2 * len(line(0)))
    for number in range(3):
        spool.append(line(number), 1)
    folder.unlink()
    assert spool.save_memory() == 3
    assert (numbers(spool), spool._losses.by_reason()) == ([0, 1, 2], {})


def test_an_unwritable_folder_means_bounded_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    spool = spool_in(tmp_path / "file" / "spool")
    size = 100_000
    fits = MEMORY_MAX_BYTES // len(line(10, size))
    for number in range(fits + 5):
        spool.append(line(number, size), 1)
    assert isinstance(spool.complaint, OSError)
    assert spool._losses.by_reason() == {"memory_full": 5}
    assert spool.pending == fits
    memory = spool.sources()[-1]
    lines = memory.read(3, 900_000)
    assert [json.loads(read.data)["call_id"] for read in lines] == ["0", "1", "2"]
    memory.settle(lines[-1].end, 3)
    assert spool.pending == fits - 3
    spool.append(line(99, size), 1)
    assert spool._losses.by_reason() == {"memory_full": 5}


@pytest.mark.parametrize("lose", ["rmtree(folder)", "folder.rename(folder.with_name('moved'))"])
def test_what_waits_in_a_folder_that_is_deleted_is_found_after_a_kill(lose: str, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    run_in_a_process(
        f"""
        import os, signal, sys
        from pathlib import Path
        from shutil import rmtree
        from langchain_plugin.losses import Losses
        from langchain_plugin.spool import Spool
        folder = Path(sys.argv[1])
        spool = Spool(folder, Losses(), max_bytes=10**7, wake=lambda: None)
        def append(number):
            spool.append(b'{{"call_id": "%d"}}\\n' % number, 1)
        def settle_one():
            source = spool.sources()[0]
            source.settle(source.read(1, 1000)[0].end, 1)
        for number in (1, 2):
            append(number)
        settle_one()
        spool.seal(segment_bytes=1)
        for number in (3, 4, 5):
            append(number)
        {lose}
        append(6)
        spool.keep_named()
        append(7)
        assert (spool.pending, spool.was_deleted) == (6, True)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        str(folder),
        expected=-signal.SIGKILL,
    )
    assert sorted(adopted(folder)) == [2, 3, 4, 5, 6, 7], "all but the one that was settled"


def test_what_is_being_sent_from_a_sealed_file_while_it_is_written_again_is_not_lost(tmp_path: Path) -> None:
    # At exit the main thread writes it again, while the sender waits for its Receipt.
    spool = spool_in(tmp_path)
    spool.append(b"".join(map(line, range(9))), 9)
    spool.seal(segment_bytes=1)
    (source, *_) = spool.sources()
    first = source.read(2, 1000)
    source.settle(first[-1].end, 2)
    being_sent = source.read(3, 1000)
    for path in tmp_path.iterdir():
        path.unlink()
    spool.keep_named()
    source.settle(being_sent[-1].end, 3)
    assert (numbers(spool), spool.pending, spool.was_deleted) == ([5, 6, 7, 8], 4, True)
    spool.after_fork()  # lets go of all of it, as the end of the process does
    assert adopted(tmp_path) == [2, 3, 4, 5, 6, 7, 8], "sent twice where it must be, and never not at all"


def test_a_file_that_is_closed_while_it_is_read_is_closed_by_who_reads(tmp_path: Path) -> None:
    file = HeldFile(os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR))
    number = file.fd
    with file.reading() as fd:
        file.close()
        assert (fd, file.fd) == (number, -1)
        os.fstat(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
    with file.reading() as fd:
        assert fd == -1


def test_a_child_closes_a_file_that_a_thread_of_its_parent_reads(tmp_path: Path) -> None:
    file = HeldFile(os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR))
    with file.reading() as fd:
        file.close(is_in_child=True)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


def test_a_folder_that_is_replaced_by_a_copy_has_what_waits_under_its_name_again(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = spool_in(folder)
    spool.append(line(1), 1)
    shutil.copytree(folder, tmp_path / "copy")
    spool.append(line(2), 1)
    folder.rename(tmp_path / "moved")
    (tmp_path / "copy").rename(folder)
    spool.keep_named()
    (path,) = folder.iterdir()
    assert path.read_bytes() == line(1) + line(2)


def test_a_folder_that_is_deleted_while_nothing_waits_is_made_again_by_the_next_append(tmp_path: Path) -> None:
    spool = spool_in(tmp_path / "spool")
    spool.append(line(1), 1)
    numbers(spool, settle=True)
    shutil.rmtree(tmp_path / "spool")
    spool.keep_named()
    assert (list(tmp_path.iterdir()), spool.was_deleted) == ([], False)
    spool.append(line(2), 1)
    assert len(list((tmp_path / "spool").iterdir())) == 1
    assert numbers(spool, settle=True) == [2]


def test_a_folder_that_cannot_be_made_again_leaves_what_waits_readable(tmp_path: Path) -> None:
    spool = spool_in(tmp_path / "spool")
    spool.append(line(1), 1)
    shutil.rmtree(tmp_path / "spool")
    (tmp_path / "spool").write_text("in the way")
    spool.keep_named()
    assert isinstance(spool.complaint, OSError)
    spool.append(line(2), 1)
    assert numbers(spool) == [1, 2]
    (tmp_path / "spool").unlink()
    spool.keep_named()
    assert [path.read_bytes() for path in (tmp_path / "spool").iterdir()] == [line(1) + line(2)]


def test_a_file_that_something_closed_is_not_sealed_and_so_not_deleted(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    spool.append(line(1), 1)
    os.close(open_file(spool).fd)
    spool.seal(segment_bytes=1)
    assert adopted(tmp_path, except_for=spool.own_files()) == [1]


def test_a_descriptor_that_something_else_closed_costs_no_event(tmp_path: Path) -> None:
    # As a program does that becomes a daemon: it closes all there are.
    spool = spool_in(tmp_path)
    spool.append(line(1), 1)
    os.close(open_file(spool).fd)
    spool.append(line(2), 1)
    spool.append(line(3), 1)
    assert sorted(numbers(spool)) == [2, 3]
    assert adopted(tmp_path, except_for=spool.own_files()) == [1]


def test_events_do_not_go_into_a_file_that_has_the_number_of_a_descriptor_that_was_closed(tmp_path: Path) -> None:
    spool = spool_in(tmp_path / "spool")
    for number in range(3):
        spool.append(line(number), 1)
    os.close(open_file(spool).fd)
    other = os.open(tmp_path / "other", os.O_CREAT | os.O_RDWR)  # the program's own: it has the number now
    for number in range(3, 6):
        spool.append(line(number), 1)
    assert (tmp_path / "other").read_bytes() == b""
    assert numbers(spool) == [3, 4, 5]
    assert adopted(tmp_path / "spool", except_for=spool.own_files()) == [0, 1, 2]
    spool.close_if_empty()
    os.fstat(other)


def test_a_sealed_file_whose_descriptor_is_anothers_by_now_is_left_to_be_adopted(tmp_path: Path) -> None:
    spool = spool_in(tmp_path / "spool")
    spool.append(line(1), 1)
    spool.seal(segment_bytes=1)
    spool.append(line(2), 1)
    os.close(spool._sealed[0].fd)
    other = os.open(tmp_path / "other", os.O_CREAT | os.O_RDWR)
    os.write(other, line(3))
    assert numbers(spool, settle=True) == [2]
    assert (spool.pending, adopted(tmp_path / "spool", except_for=spool.own_files())) == (0, [1])
    assert os.pread(other, 1000, 0) == line(3)
    os.close(other)


def test_what_is_settled_takes_no_room(tmp_path: Path) -> None:
    spool = spool_in(tmp_path, max_bytes=3 * len(line(0)))
    for number in range(9):
        spool.append(line(number), 1)
        if number >= 2:  # two wait, whatever was settled
            active = spool.sources()[0]
            active.settle(active.read(1, 1000)[0].end, 1)
    assert spool._losses.by_reason() == {}
    assert numbers(spool) == [7, 8]


def test_a_file_of_which_much_is_settled_is_sealed_since_others_see_only_its_size(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    for number in range(4):
        spool.append(line(number, 60_000), 1)
    active = spool.sources()[0]
    for read in active.read(3, 900_000):
        active.settle(read.end, 1)
    spool.seal()
    assert sorted(path.stat().st_size > 0 for path in tmp_path.iterdir()) == [False, True]
    assert numbers(spool, settle=True) == [3]
    spool.drop_empty_segments()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == 0


def test_a_descriptor_that_is_anothers_by_now_is_not_cut(tmp_path: Path) -> None:
    spool = spool_in(tmp_path / "spool")
    spool.append(line(1), 1)
    active = spool.sources()[0]
    (read,) = active.read(1, 1000)
    other = os.open(tmp_path / "other", os.O_CREAT | os.O_RDWR)
    os.write(other, b"of the program itself")
    os.dup2(other, open_file(spool).fd)
    active.settle(read.end, 1)
    assert (tmp_path / "other").read_bytes() == b"of the program itself"
    os.close(other)


@pytest.mark.parametrize("size", [0, 1, -1])
def test_a_file_that_something_else_cuts_keeps_nothing_pending_for_ever(size: int, tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    for number in range(3):
        spool.append(line(number), 1)
    (path,) = tmp_path.iterdir()
    os.truncate(path, size % path.stat().st_size)
    for source in spool.sources():
        while lines := source.read(500, 900_000):
            source.settle(lines[-1].end, len(lines))
            source = spool.sources()[0]
    assert (spool.pending, path.stat().st_size) == (0, 0)
    spool.append(line(4), 1)
    assert numbers(spool) == [4]


# ── many at once ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_threads_append_while_the_sender_reads_settles_and_seals(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    seen: list[int] = []

    def append_all(first: int) -> None:
        for number in range(first, first + 2000):
            spool.append(line(number), 1)

    threads = [threading.Thread(target=append_all, args=(first,)) for first in range(0, 8000, 2000)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) or spool.pending:
        for source in spool.sources():
            lines = source.read(150, 900_000)
            if lines:
                seen += [int(json.loads(read.data)["call_id"]) for read in lines]
                source.settle(lines[-1].end, len(lines))
        spool.seal(segment_bytes=20_000)
    assert sorted(seen) == list(range(8000))


def test_an_append_from_a_signal_handler_below_an_append_neither_locks_up_nor_gets_lost(tmp_path: Path) -> None:
    # As when the garbage collector closes an abandoned stream in the middle of an append.
    spool = spool_in(tmp_path)
    interrupted = 0

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted += 1
        spool.append(line(1_000_000 + interrupted), 1)

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
    appended = 0
    deadline = time.monotonic() + 20
    try:
        while interrupted < 500 and time.monotonic() < deadline:
            spool.append(line(appended), 1)
            appended += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert spool.pending == appended + interrupted
    found = numbers(spool, settle=True)
    assert sorted(found) == [*range(appended), *range(1_000_001, 1_000_001 + interrupted)]


def test_thousands_of_appends_below_one_append_are_all_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As when the garbage collector closes as many abandoned streams, or signals come faster than they are handled.
    spool = spool_in(tmp_path)
    write = os.write

    def write_and_be_interrupted(fd: int, data: bytes) -> int:
        monkeypatch.undo()
        for number in range(2, 5_001):
            spool.append(line(number), 1)
        return write(fd, data)

    spool.append(line(0), 1)
    monkeypatch.setattr(os, "write", write_and_be_interrupted)
    spool.append(line(1), 1)
    assert numbers(spool, settle=True) == list(range(5_001))


def test_a_signal_handler_that_raises_costs_no_append_that_waited_below_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = spool_in(tmp_path)
    spool.append(line(0), 1)
    write = os.write
    writes = 0

    def write_and_be_interrupted(fd: int, data: bytes) -> int:
        nonlocal writes
        writes += 1
        if writes == 1:
            spool.append(line(2), 1)
        if writes == 2:
            raise _Interrupted  # before what waited is written
        return write(fd, data)

    monkeypatch.setattr(os, "write", write_and_be_interrupted)
    with pytest.raises(_Interrupted):
        spool.append(line(1), 1)
    spool.append(line(3), 1)
    assert sorted(numbers(spool)) == [0, 1, 2, 3]


class _Interrupted(BaseException):
    pass


@pytest.mark.parametrize("raised", [_Interrupted, RuntimeError, TimeoutError])
def test_what_a_signal_handler_raises_just_after_the_write_loses_nothing(
    raised: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A signal that comes while the write is under way is handled when it returns: its line is there, uncounted.
    spool = spool_in(tmp_path)
    spool.append(line(1), 1)
    write = os.write

    def write_and_be_interrupted(fd: int, data: bytes) -> int:
        write(fd, data)
        monkeypatch.undo()
        raise raised

    for number in (2, 3):
        monkeypatch.setattr(os, "write", write_and_be_interrupted)
        with pytest.raises(raised):
            spool.append(line(number, 100), 1)
    assert spool.pending == 3
    spool.append(line(4), 1)
    assert (spool.pending, numbers(spool, settle=True), spool.pending) == (4, [1, 2, 3, 4], 0)


def test_a_storm_of_signal_handlers_that_raise_costs_no_append_that_returned(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    seen: list[int] = []
    is_over = threading.Event()

    def send() -> None:
        while not is_over.is_set() or spool.pending:
            for source in spool.sources():
                if lines := source.read(150, 900_000):
                    seen.extend(int(json.loads(read.data)["call_id"]) for read in lines)
                    source.settle(lines[-1].end, len(lines))
            spool.seal(segment_bytes=20_000)

    def interrupt(*_: object) -> None:
        raise _Interrupted

    returned: list[int] = []
    interrupted = 0
    sender = threading.Thread(target=send, daemon=True)
    before = signal.signal(signal.SIGALRM, interrupt)
    deadline = time.monotonic() + 3
    number = 0
    sender.start()
    while time.monotonic() < deadline:
        number += 1
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.00002 + number % 40 / 1_000_000)
                spool.append(line(number, number % 7 * 50), 1)
                signal.setitimer(signal.ITIMER_REAL, 0)
                returned.append(number)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except _Interrupted:
            interrupted += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    is_over.set()
    sender.join(20)
    assert (sender.is_alive(), spool.pending) == (False, 0)
    assert interrupted > 20
    assert set(returned) <= set(seen)
    assert len(seen) == len(set(seen))


def test_a_wake_up_that_was_cut_short_comes_again(tmp_path: Path) -> None:
    woken: list[int] = []

    def wake() -> None:
        woken.append(spool.pending)
        if len(woken) == 1:
            raise KeyboardInterrupt

    spool = Spool(tmp_path, Losses(), max_bytes=10**6, wake=wake)
    with pytest.raises(KeyboardInterrupt):
        spool.append(line(1), 1)
    spool.append(line(2), 1)
    assert woken == [1, 2]


def test_a_child_lets_go_of_all_files_though_one_was_closed_already(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    spool.append(line(1), 1)
    spool.seal(segment_bytes=1)
    spool.append(line(2), 1)
    sealed = spool._sealed[0].fd
    os.close(open_file(spool).fd)
    spool.after_fork()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(sealed)


def test_a_wake_up_comes_once_when_as_many_wait_as_the_sender_asked_for(tmp_path: Path) -> None:
    woken: list[int] = []
    spool = Spool(tmp_path, Losses(), max_bytes=10**6, wake=lambda: woken.append(spool.pending))
    for number in range(5):
        spool.append(line(number), 1)
    assert woken == [1]
    assert not spool.arm(5), "five wait already"
    assert spool.arm(8)
    for number in range(5):
        spool.append(line(number), 1)
    assert woken == [1, 8]


# ── what dead processes left ─────────────────────────────────────────────────────────────────────────────────────


def dead_file(folder: Path, content: bytes, *, days_old: float = 0) -> Path:
    path = folder / "0192b5a0-0000-7000-8000-000000000001.jsonl"
    path.write_bytes(content)
    moment = time.time() - days_old * 86_400
    os.utime(path, (moment, moment))
    return path


def test_a_living_processs_file_is_never_taken(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys\nfrom pathlib import Path\nfrom langchain_plugin.losses import Losses\n"
            "from langchain_plugin.spool import Spool\n"
            "spool = Spool(Path(sys.argv[1]), Losses(), max_bytes=10**6, wake=lambda: None)\n"
            "spool.append(b'{}\\n', 1)\nprint('ready', flush=True)\nsys.stdin.read()",
            str(tmp_path),
        ],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert owner.stdout is not None
    owner.stdout.readline()
    adoption = Adoption(tmp_path, Losses())
    adoption.look(except_for=set())
    assert (adoption.segments, adoption.others_bytes) == ([], 3)

    owner.kill()
    owner.wait()
    adoption.look(except_for=set())

    assert (adoption.pending, adoption.others_bytes) == (1, 0)


def test_of_two_that_look_one_adopts(tmp_path: Path) -> None:
    dead_file(tmp_path, line(1))
    one, other = Adoption(tmp_path, Losses()), Adoption(tmp_path, Losses())
    one.look(except_for=set())
    other.look(except_for=set())
    assert (one.pending, other.pending) == (1, 0)
    one.release()
    other.look(except_for=set())
    assert other.pending == 1


def test_an_adopted_file_is_deleted_when_all_of_it_is_settled(tmp_path: Path) -> None:
    path = dead_file(tmp_path, line(1) + line(2))
    adoption = Adoption(tmp_path, Losses())
    adoption.look(except_for=set())
    (segment,) = adoption.segments
    first, second = segment.read(10, 1000)
    segment.settle(first.end, 1)
    adoption.drop_empty()
    assert path.exists()
    segment.settle(second.end, 1)
    adoption.drop_empty()
    assert not path.exists()
    assert adoption.segments == []


def test_a_file_is_never_too_old_to_be_adopted(tmp_path: Path) -> None:
    # Its time is what some clock said: after one that jumps a month ahead, every file is a month old.
    losses = Losses()
    path = dead_file(tmp_path, line(1) + line(2), days_old=400)
    adoption = Adoption(tmp_path, losses)
    adoption.look(except_for=set())
    assert (adoption.pending, path.exists(), losses.by_reason()) == (2, True, {})


def test_what_was_held_too_long_is_given_up_and_counted(tmp_path: Path) -> None:
    losses = Losses()
    spool = Spool(tmp_path / "own", losses, max_bytes=10**6, wake=lambda: None)
    spool.append(line(1) + line(2), 2)
    spool.seal(segment_bytes=1)
    adoption = Adoption(tmp_path, losses)
    path = dead_file(tmp_path, line(3))
    adoption.look(except_for=set())
    between = time.monotonic()
    spool.append(line(4), 1)
    spool.seal(segment_bytes=1)

    spool.expire(between - 60)
    adoption.expire(between - 60)
    assert (spool.pending, adoption.pending, losses.by_reason()) == (3, 1, {})

    spool.expire(between)
    adoption.expire(between)
    assert (path.exists(), losses.by_reason()) == (False, {"expired": 3})
    assert (numbers(spool), spool.pending, adoption.pending) == ([4], 1, 0)


def test_an_adopted_file_that_is_deleted_is_written_again(tmp_path: Path) -> None:
    path = dead_file(tmp_path, line(1) + line(2))
    adoption = Adoption(tmp_path, Losses())
    adoption.look(except_for=set())
    (segment,) = adoption.segments
    segment.settle(segment.read(1, 1000)[0].end, 1)
    path.unlink()
    adoption.look(except_for=set())
    assert path.read_bytes() == line(2)
    assert (adoption.pending, [read.data + b"\n" for read in segment.read(5, 1000)]) == (1, [line(2)])
    assert Adoption(tmp_path, Losses()).segments == []


def test_an_empty_file_of_a_dead_process_is_swept_up_and_foreign_files_are_not_touched(tmp_path: Path) -> None:
    path = dead_file(tmp_path, b"")
    foreign = [tmp_path / name for name in ("rejected.jsonl", "news.json", "notes.txt")]
    for file in foreign:
        file.write_bytes(b"")
    Adoption(tmp_path, Losses()).look(except_for=set())
    assert not path.exists()
    assert all(file.exists() for file in foreign)


def test_a_file_that_is_just_being_made_is_left_to_its_maker(tmp_path: Path) -> None:
    path = tmp_path / "0192b5a0-0000-7000-8000-000000000001.new"
    path.write_bytes(b"")
    adoption = Adoption(tmp_path, Losses())
    adoption.look(except_for=set())
    assert path.exists()
    os.utime(path, (time.time() - 61, time.time() - 61))
    adoption.look(except_for=set())
    assert not path.exists()


def test_whoever_only_looks_leaves_a_file_that_is_just_being_made_alone(tmp_path: Path) -> None:
    path = tmp_path / "0192b5a0-0000-7000-8000-000000000001.new"
    path.write_bytes(line(1))
    assert look_into(tmp_path).files == []
    os.utime(path, (time.time() - 61, time.time() - 61))
    assert [file.events for file in look_into(tmp_path).files] == [1]


def test_a_file_whose_lock_another_took_first_leaves_nothing_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "0192b5a0-0000-7000-8000-000000000001.jsonl"
    monkeypatch.setattr("langchain_plugin.named_file.try_lock", lambda fd: False)
    with pytest.raises(OSError, match="temporarily unavailable"):
        create(path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    path.with_suffix(".new").write_bytes(b"")  # as a crash leaves it
    os.close(create(path))
    assert path.exists()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.txt"
    target.write_bytes(line(1))
    (tmp_path / "0192b5a0-0000-7000-8000-000000000001.jsonl").symlink_to(target)
    adoption = Adoption(tmp_path, Losses())
    adoption.look(except_for=set())
    assert adoption.segments == []
    assert target.exists()


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=200, deadline=None)
@given(
    lines=st.lists(st.binary(max_size=30).map(lambda data: data.replace(b"\n", b"")), max_size=20),
    ends_torn=st.booleans(),
    max_events=st.integers(1, 5),
    max_bytes=st.integers(1, 60),
)
def test_reading_in_any_portions_gives_every_line_once(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], ends_torn: bool, max_events: int, max_bytes: int
) -> None:
    content = b"".join(data + b"\n" for data in lines)
    if ends_torn:
        content = content.removesuffix(b"\n")
    path = tmp_path_factory.getbasetemp() / "lines"
    path.write_bytes(content)
    fd = os.open(path, os.O_RDONLY)
    try:
        read: list[bytes] = []
        position = 0
        while portion := read_lines(fd, position, len(content), max_events, max_bytes):
            assert len(portion) <= max_events
            assert len(portion) == 1 or portion[-1].end - position <= max_bytes
            assert portion[-1].end > position
            read += [part.data for part in portion]
            position = portion[-1].end
        assert position == len(content)
        assert b"\n".join(read) == content.removesuffix(b"\n")
    finally:
        os.close(fd)


def test_what_has_no_newline_for_a_million_bytes_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"\x00" * (WINDOW_BYTES + 5) + b"\n" + line(2))
    fd = os.open(path, os.O_RDONLY)
    try:
        (garbage,) = read_lines(fd, 0, path.stat().st_size, 1, 1000)
        (whole,) = read_lines(fd, garbage.end, path.stat().st_size, 1, 1000)
    finally:
        os.close(fd)
    assert garbage.end == WINDOW_BYTES + 6
    assert json.loads(whole.data)["call_id"] == "2"

"""`costsite doctor | status | flush`: is it set up right, what waits, and send it now."""

from __future__ import annotations

import argparse
import shlex
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from langchain_plugin._version import __version__
from langchain_plugin.config import Config, as_kept
from langchain_plugin.errors import CheckFailed, ConfigError, ServerUnreachable
from langchain_plugin.own_file import UnsafeFolder, make_folder
from langchain_plugin.rejected import FILE_NAME as REJECTED_FILE
from langchain_plugin.rejected import FINAL_CODES, rejected_by_reason, send_again
from langchain_plugin.reporter import KeyInfo, Reporter
from langchain_plugin.versions import versions
from langchain_plugin.waiting import Folder, Waiting, folders, look_into

WRITE_SCOPE = "events:write"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 all is well (flush: nothing waits any more), 1 something is not, 2 a setting is wrong."""
    parser = argparse.ArgumentParser(prog="costsite", description="Reports what LangChain agents spend.")
    parser.add_argument("--version", action="version", version=f"costsite {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="doctor | status | flush")
    commands.add_parser("doctor", help="check settings, folder, site, key and clock, and say what to mend")
    commands.add_parser("status", help="show the events that wait for a site, and those it rejected")
    flush = commands.add_parser(
        "flush", help="send what waits for the site in force, also what dead processes left; 0 when all of that is sent"
    )
    flush.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="default 60")
    flush.add_argument(
        "--from-key",
        metavar="PREFIX",
        help="also send, with the key in force, what waits for this site under another key that is no longer valid",
    )
    flush.add_argument(
        "--from-url",
        metavar="URL",
        help="also send, to the site in force, what waits for it under another address: a mistyped or a former one",
    )
    flush.add_argument(
        "--rejected", action="store_true", help="send once more what the site rejected, once what it said is mended"
    )
    options = parser.parse_args(arguments)
    try:
        config = Config.resolve()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    if options.command == "doctor":
        return doctor(config)
    if options.command == "status":
        return status(config)
    return send_all(
        config, options.timeout, from_key=options.from_key, from_url=options.from_url, rejected=options.rejected
    )


# ── doctor ───────────────────────────────────────────────────────────────────────────────────────────────────────


def doctor(config: Config) -> int:
    """Each part with its finding, then a verdict with the mend of the first that is wrong."""
    print(f"costsite {__version__}\n\nsettings")
    width = max(map(len, config.sources))
    for name, source in config.sources.items():
        value = getattr(config, name)
        shown = f"{config.key_prefix}…" if name == "api_key" and value else "-" if value is None else str(value)
        print(f"  {name:{width}} {shown:40} {source}")
    print("\nchecks")
    mends: list[str] = []

    def check(part: str, finding: Callable[[], str]) -> None:
        try:
            print(f"  {part:10} ok      {finding()}")
        except (CheckFailed, _Finding) as wrong:
            print(f"  {part:10} WRONG   {wrong}")
            mends.append(str(wrong))

    if config.disabled:
        mends.append("Costsite is switched off: unset COSTSITE_DISABLED to report runs.")
    check("folder", lambda: _check_folder(config))
    told: list[KeyInfo] = []

    def ask() -> str:
        began_monotonic = time.monotonic()
        try:
            told.append(Reporter(config).check())
        except ServerUnreachable as error:
            if config.url.startswith("https://") and _has_no_tls(error):
                http = "http://" + config.url.removeprefix("https://")
                raise _Finding(
                    f"{config.url} does not answer a TLS handshake: if the site is served without, set COSTSITE_URL to"
                    f" {http}; else mend the proxy before it."
                ) from None
            raise
        return f"{config.url} answered in {(time.monotonic() - began_monotonic) * 1000:.0f} ms"

    check("site", ask)
    if told:
        check("key", lambda: _check_key(config, told[0]))
        check("clock", lambda: _check_clock(told[0]))
    print("  versions   " + "        " + ", ".join(f"{name} {version}" for name, version in versions().items()))
    print()
    if mends:
        print(f"Not ready. {mends[0]}")
        return 1
    print(f"Ready: runs are reported to the workspace {told[0].workspace_name} at {config.url}.")
    return 0


_NO_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL"}
"""What OpenSSL calls an answer in plain text."""


def _has_no_tls(error: BaseException) -> bool:
    """Whether what answered speaks no TLS, by what is under an error. A certificate that is not trusted speaks it."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
        if isinstance(error, ssl.SSLError):
            return error.reason in _NO_TLS
    return "handshake" in str(error)  # a site that waits for the rest of a request: Python calls that a TimeoutError


class _Finding(Exception):  # noqa: N818 - not an error of the program, but what it found
    pass


def _check_folder(config: Config) -> str:
    folder = config.spool_folder
    trial = folder / f"{uuid4()}.trial"
    try:
        make_folder(folder)
        with trial.open("xb") as file:
            file.write(b"{}\n")
        trial.unlink()
    except UnsafeFolder as unsafe:
        raise _Finding(
            f"{folder} is not used ({unsafe.strerror}): {unsafe.mend}, or set COSTSITE_STATE_DIR to another folder."
        ) from None
    except OSError as error:
        raise _Finding(
            f"{folder} cannot be written ({error.strerror}): set COSTSITE_STATE_DIR to a local folder that can be."
        ) from None
    return f"{folder} can be written; {_count(look_into(folder).events, 'event')} wait there"


def _check_key(config: Config, told: KeyInfo) -> str:
    if WRITE_SCOPE not in told.scopes:
        raise _Finding(
            f"the key {config.key_prefix}… may not report (it has {', '.join(told.scopes) or 'no scope'}): "
            f"make one with the scope {WRITE_SCOPE}."
        )
    if told.agent is not None and config.agent not in (None, told.agent):
        raise _Finding(
            f"the key {config.key_prefix}… reports for {told.agent} only, and COSTSITE_AGENT is {config.agent}: "
            "make them the same, or use a key for the whole workspace."
        )
    return f"workspace {told.workspace_name} ({told.workspace_slug}), {told.agent or 'any agent'}"


def _check_clock(told: KeyInfo) -> str:
    from langchain_plugin import wire

    seconds = told.clock_difference_seconds
    if abs(seconds) > wire.CLOCK_TOLERANCE_SECONDS:
        raise _Finding(
            f"this machine's clock is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} the site's: set "
            "it right, or calls near the end of a day or month are booked by the site's correction."
        )
    return f"{abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'} the site's"


# ── status ───────────────────────────────────────────────────────────────────────────────────────────────────────


def status(config: Config) -> int:
    """Every folder, whatever its site and key: 1 when something needs a person, else 0."""
    needs_a_person = False
    try:
        found = list(folders(config.state_dir))
    except OSError as error:
        print(_unread_line(error))
        return 1
    full = [folder for folder in found if folder.files or folder.unread or (folder.path / REJECTED_FILE).exists()]
    if not full:
        print(f"Nothing waits in {config.state_dir}.")
        return 0
    for folder in full:
        is_in_force = folder.path == config.spool_folder
        print(f"{folder.url or 'a site unknown'}, key {folder.key_prefix or 'unknown'}…  {folder.path}")
        for file in folder.files:
            print(f"  {_file_line(file)}")
        for unread in folder.unread:
            needs_a_person = True
            print(f"  {_unread_line(unread)}")
        if not folder.files and not folder.unread:
            print("  nothing waits")
        if folder.events and not is_in_force:
            needs_a_person = True
            print(f"  {_mend_of_foreign(folder, config)}")
        rejected = rejected_by_reason(folder.path)
        for (code, message), count in sorted(rejected.items()):
            needs_a_person = True
            print(f"  rejected: {_count(count, 'event')}, {code}: {message}  ({folder.path / REJECTED_FILE})")
        if rejected:
            print(f"  {_mend_of_rejected(folder, config, {code for code, _ in rejected})}")
    if empty := len(found) - len(full):
        print(f"Nothing waits in {_count(empty, 'other folder')}.")
    return 1 if needs_a_person else 0


def _unread_line(error: OSError) -> str:
    mend = error.mend if isinstance(error, UnsafeFolder) else "run this as the user whose agents report from here"
    return f"{error.filename} cannot be looked into ({error.strerror}): {mend}."


def _file_line(file: Waiting) -> str:
    owner = "process alive" if file.is_alive else "process dead "
    oldest = "" if file.oldest_at is None else f", the oldest {_age(time.time() - file.oldest_at)} old"
    return f"{file.path.name[:8]}  {owner}  {_count(file.events, 'event')}, {file.bytes / 1000:.1f} kB{oldest}"


def _mend_of_rejected(folder: Folder, config: Config, codes: set[str]) -> str:
    if codes <= FINAL_CODES:
        return "no site can make sense of these: report them as a bug of the plugin, or of what wrote them."
    options = _from_key(folder, config)
    if folder.url and folder.url != config.url:
        options += f" --from-url {shlex.quote(folder.url)}"
    return f"once that is mended, `costsite flush --rejected{options}` sends these again."


def _from_key(folder: Folder, config: Config) -> str:
    return "" if folder.key_prefix == config.key_prefix else f" --from-key {shlex.quote(folder.key_prefix)}"


def _mend_of_foreign(folder: Folder, config: Config) -> str:
    from_key = _from_key(folder, config)
    if folder.url and folder.url == config.url:
        return f"the key in force is another: `costsite flush{from_key}` sends these with it."
    return (
        f"another site, or another address of the one in force: `costsite flush --from-url {shlex.quote(folder.url)}"
        f"{from_key}` sends these to the one in force; COSTSITE_URL and that site's key send them there."
    )


# ── flush ────────────────────────────────────────────────────────────────────────────────────────────────────────


def send_all(
    config: Config,
    timeout: float,
    *,
    from_key: str | None = None,
    from_url: str | None = None,
    rejected: bool = False,
) -> int:
    """Send what waits, with `rejected` also what the site rejected before; 0 only when the site has all of it."""
    if config.api_key is None:
        print("There is no API key: set COSTSITE_API_KEY to send what waits.", file=sys.stderr)
        return 2
    # COSTSITE_DISABLED switches the agents' reports off, not a command that somebody typed.
    config = replace(config, disabled=False)
    targets = [config.spool_folder]
    if from_key is not None or from_url is not None:
        url = config.url if from_url is None else as_kept(from_url)
        key = config.key_prefix if from_key is None else from_key
        try:
            others = [
                folder.path
                for folder in folders(config.state_dir)
                if folder.url == url and folder.key_prefix.startswith(key) and folder.path != config.spool_folder
            ]
        except OSError as error:
            print(_unread_line(error), file=sys.stderr)
            return 2
        if not others or not key:
            print(f"Nothing waits for {url} under a key that begins with {key!r}.", file=sys.stderr)
            return 2
        targets += others
    deadline = time.monotonic() + timeout
    left = given_up = 0
    for target in targets:
        if rejected:
            try:
                send_again(target)
            except OSError as error:
                left += 1
                print(_unread_line(error), file=sys.stderr)
        reporter = Reporter(config, spool_folder=target)
        try:
            reporter.drain(max(0.0, deadline - time.monotonic()))
        except CheckFailed as error:
            print(error, file=sys.stderr)
        reporter.close()
        remaining = look_into(target)
        left += remaining.events + len(remaining.unread)
        print(f"{target}: {_count(reporter.sent, 'event')} sent, {remaining.events} left.")
        if expired := reporter.losses.get("expired"):
            given_up += expired
            print(f"  {_count(expired, 'event')} expired: the site has taken nothing for 30 days.")
        if torn := reporter.losses.get("torn_line"):
            print(f"  {_count(torn, 'line')} unreadable, left by a full disk or a power cut.")
        if turned_away := reporter.losses.get("rejected"):
            given_up += turned_away
            print(f"  {_count(turned_away, 'event')} rejected; `costsite status` says why.")
        for unread in remaining.unread:
            print(f"  {_unread_line(unread)}")
        if alive := sum(file.events for file in remaining.files if file.is_alive):
            print(f"  {_count(alive, 'event')} of processes that are alive, which send them themselves.")
    _tell_of_others(config, targets)
    return 1 if left or given_up else 0


def _tell_of_others(config: Config, sent: Sequence[Path]) -> None:
    """What waits here for other sites, or under other keys, is not sent by this; but it should not be overlooked."""
    with suppress(OSError):
        waits = sum(folder.events for folder in folders(config.state_dir) if folder.path not in sent)
        if waits:
            print(
                f"{_count(waits, 'event')} in {config.state_dir} for other sites or keys; `costsite status` lists them."
            )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _age(seconds: float) -> str:
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            return _count(int(seconds // length), unit)
    return _count(max(0, int(seconds)), "second")


if __name__ == "__main__":
    sys.exit(main())

"""Word of whose a spool folder is, beside what waits in it: `about.json`. The folder's own name is a hash."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from langchain_plugin.config import Config
from langchain_plugin.own_file import UnsafeFolder, check_folder, read_own, replace_own
from langchain_plugin.server_words import clean_words

FILE_NAME = "about.json"
MAX_BYTES = 10_000


def describe_folder(config: Config) -> None:
    """Leave word of the site and the key, unless it is there already, or the folder is not."""
    path = config.spool_folder / FILE_NAME
    try:
        check_folder(config.spool_folder)
        read_own(path, MAX_BYTES)
    except UnsafeFolder:
        return
    except OSError:
        about = {"url": config.url, "key_prefix": config.key_prefix}
        with suppress(OSError):
            replace_own(path, json.dumps(about).encode())


def whose_folder(folder: Path) -> tuple[str, str]:
    """Address of the site and prefix of the key; both empty where no process has said, or none that can be believed."""
    try:
        check_folder(folder)  # else anybody might have a person run `costsite flush` against an address of theirs
        about = json.loads(read_own(folder / FILE_NAME, MAX_BYTES))
        return clean_words(about["url"]), clean_words(about["key_prefix"], 60)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "", ""

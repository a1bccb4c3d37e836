from __future__ import annotations

from pathlib import Path

import pytest

from langchain_plugin.config import DEFAULT_URL, Config, default_state_dir
from langchain_plugin.errors import ConfigError
from tests.langchain_plugin.conftest import KEY


def test_arguments_win_over_the_environment_and_that_over_defaults() -> None:
    environ = {"COSTSITE_AGENT": "from-environment", "COSTSITE_URL": "https://costs.example/", "HOME": "/home/ada"}
    config = Config.resolve(agent="from-argument", environ=environ)
    assert (config.agent, config.url, config.api_key) == ("from-argument", "https://costs.example", None)
    assert config.state_dir == Path("/home/ada/.local/state/costsite")
    assert config.sources["agent"] == "argument"
    assert config.sources["url"] == "COSTSITE_URL"
    assert config.sources["state_dir"] == "default"


def test_every_setting_has_a_variable_of_its_name() -> None:
    values = {
        "AGENT": "support-bot", "API_KEY": KEY, "URL": "http://site:9000", "STATE_DIR": "/var/lib/bot",
        "DISABLED": "yes", "TRACING": "1", "SPOOL_MAX_MB": "5", "SEND_AFTER_SECONDS": "2",
        "RETRY_MAX_SECONDS": "60", "ADOPT_EVERY_SECONDS": "10", "EXIT_FLUSH_SECONDS": "0",
        "ON_UNREACHABLE": "block", "HELD_WAIT_SECONDS": "5", "RUN_LIMIT_CENTS": "25",
        "DESKTOP_NOTIFICATIONS": "on",
    }  # fmt: skip
    config = Config.resolve(environ={f"COSTSITE_{name}": value for name, value in values.items()})
    assert set(config.sources.values()) == {f"COSTSITE_{name}" for name in values}
    assert (config.agent, config.api_key, config.url) == ("support-bot", KEY, "http://site:9000")
    assert config.state_dir == Path("/var/lib/bot")
    assert (config.disabled, config.tracing, config.spool_max_bytes) == (True, True, 5_000_000)
    assert (config.send_after_seconds, config.retry_max_seconds) == (2.0, 60.0)
    assert (config.adopt_every_seconds, config.exit_flush_seconds) == (10.0, 0.0)
    assert (config.on_unreachable, config.held_wait_seconds, config.run_limit_cents) == ("block", 5.0, 25.0)
    assert config.desktop_notifications is True


def test_without_anything_the_site_on_this_machine_is_meant_and_there_is_no_key() -> None:
    config = Config.resolve(environ={})
    assert (config.url, config.api_key, config.disabled, config.tracing) == (DEFAULT_URL, None, False, False)


def test_what_is_blank_was_not_given() -> None:
    config = Config.resolve(api_key="", environ={"COSTSITE_URL": " ", "COSTSITE_AGENT": " "})
    assert (config.api_key, config.agent, config.url) == (None, None, DEFAULT_URL)


@pytest.mark.parametrize("agent", ["", "  "])
def test_an_agent_that_is_given_has_a_name(agent: str) -> None:
    with pytest.raises(ConfigError, match="agent must be a text that is not empty"):
        Config.resolve(agent=agent, environ={"COSTSITE_AGENT": "support-bot"})


def test_the_key_is_in_no_text_of_the_settings() -> None:
    config = Config.resolve(api_key=KEY, environ={})
    assert "secret" not in repr(config)
    assert "secret" not in str(config)
    assert "secret" not in str(config.spool_folder)


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("URL", "localhost:8000", "write the site's address with its scheme, like http://127.0.0.1:8000"),
        ("URL", "ftp://site", "with its scheme"),
        ("URL", "http://site:port", "is not an address"),
        ("URL", "http://user:password@site", "the key goes into COSTSITE_API_KEY"),
        ("API_KEY", "two words", "copy it again"),
        ("API_KEY", "schlüssel", "copy it again"),
        ("DISABLED", "maybe", "set it to true or false"),
        ("SPOOL_MAX_MB", "0", "megabytes between 0.1 and"),
        ("EXIT_FLUSH_SECONDS", "forever", "seconds between 0 and 60"),
        ("EXIT_FLUSH_SECONDS", "nan", "seconds between 0 and 60"),
    ],
)
def test_a_wrong_value_is_told_with_its_name_and_the_mend(variable: str, value: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Config.resolve(environ={f"COSTSITE_{variable}": value})
    assert f"COSTSITE_{variable}" in str(raised.value)
    assert sentence in str(raised.value)


@pytest.mark.parametrize("value", ["two words", "schlüssel"])
def test_a_wrong_key_is_not_repeated(value: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Config.resolve(api_key=value, environ={})
    assert value not in str(raised.value)


def test_a_misspelt_setting_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="'api_token' is no setting of costsite; the settings are: agent, api_key"):
        Config.resolve(api_token=KEY, environ={})


@pytest.mark.parametrize(
    ("platform", "environ", "expected"),
    [
        ("linux", {"HOME": "/home/ada"}, "/home/ada/.local/state/costsite"),
        ("linux", {"HOME": "/home/ada", "XDG_STATE_HOME": "/state"}, "/state/costsite"),
        ("darwin", {"HOME": "/Users/ada"}, "/Users/ada/Library/Application Support/costsite"),
        ("win32", {"USERPROFILE": "/c/ada", "LOCALAPPDATA": "/c/ada/AppData/Local"}, "/c/ada/AppData/Local/costsite"),
    ],
)
def test_state_lies_where_the_platform_keeps_it(platform: str, environ: dict[str, str], expected: str) -> None:
    assert default_state_dir(environ, platform) == Path(expected)


def test_each_site_and_each_key_has_a_folder_of_its_own() -> None:
    def folder(url: str, key: str) -> Path:
        return Config.resolve(url=url, api_key=key, state_dir="/state", environ={}).spool_folder

    one = folder("http://one", "cs_0000000000_a")
    assert one == folder("http://one/", "cs_0000000000_b"), "the secret part is in no name of a folder"
    assert one != folder("http://two", "cs_0000000000_a")
    assert one != folder("http://one", "cs_1111111111_a")
    assert one.parent == Path("/state")

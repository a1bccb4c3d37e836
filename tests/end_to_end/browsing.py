"""Where the browser is, and how one logs in with it."""

from __future__ import annotations

import shutil

from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def log_in(page: Page, site: str) -> list[str]:
    """Through the form. Returns the list that what the browser complains of is written to."""
    complaints: list[str] = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in {"error", "warning"} else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(site)
    page.get_by_label("Username").fill("olive")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Dashboard").wait_for()
    page.wait_for_load_state()  # its scripts listen by then: what is focused before is told to nobody
    return complaints

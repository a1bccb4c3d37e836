"""What docs/how-it-works.md shows of a Django shell is what the shell says."""

from __future__ import annotations

import doctest
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from agents import ledger
from agents.models import Workspace
from tests.factories import llm_call


def test_the_session_in_the_docs_runs_as_printed(workspace: Workspace) -> None:
    # On 1,200 tokens in and 300 out: gpt-4o-mini 1,200 x 0.15 + 300 x 0.60 = 360 millionths of a dollar = 0.036 cents,
    # three of them 0.108; gpt-4o 1,200 x 2.50 + 300 x 10 = 6,000 millionths = 0.6 cents; acme-large nobody prices.
    calls = [
        *(llm_call() for _ in range(3)),
        llm_call(request_model="gpt-4o"),
        llm_call(provider="acme", request_model="acme-large"),
    ]
    ledger.record(workspace, list(enumerate(calls)), client=None, received_at=timezone.now())
    docs = Path(settings.BASE_DIR) / "docs" / "how-it-works.md"
    session = docs.read_text(encoding="utf-8").split("```pycon\n")[1].split("```")[0]
    test = doctest.DocTestParser().get_doctest(session, {}, docs.name, str(docs), 0)

    results = doctest.DocTestRunner().run(test)

    assert results.attempted >= 8
    assert results.failed == 0

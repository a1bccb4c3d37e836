from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from langchain_plugin.fingerprints import MAX_KEPT, MAX_WAITING, Fingerprints, Keyed
from langchain_plugin.losses import Losses


def fingerprint(messages: Any, tool_calls: Any = (), key: str = "key") -> Keyed:
    fingerprints = Fingerprints(Losses())
    fingerprints.put("call", messages, tool_calls)
    fingerprints.settle(60)
    keyed = fingerprints.keyed("call", key)
    assert keyed is not None
    return keyed


CONVERSATION = [SystemMessage("Be kind."), HumanMessage("How much is the fish?")]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (CONVERSATION, [SystemMessage("Be kind.", id="1"), HumanMessage("How much is the fish?", name="ada")]),
        (CONVERSATION, [CONVERSATION]),
        ([HumanMessage([{"type": "text", "text": "a"}])], [HumanMessage([{"text": "a", "type": "text"}])]),
        ("a prompt", ["a prompt"]),
    ],
)
def test_the_same_prompt_has_the_same_hash(one: Any, other: Any) -> None:
    assert fingerprint(one).prompt == fingerprint(other).prompt


@pytest.mark.parametrize(
    "other",
    [
        [SystemMessage("Be kind.")],
        [SystemMessage("Be kind"), HumanMessage(".How much is the fish?")],
        [HumanMessage("Be kind."), SystemMessage("How much is the fish?")],
        [*CONVERSATION, AIMessage("")],
        [*CONVERSATION, AIMessage("", tool_calls=[{"name": "price", "args": {"of": "fish"}, "id": "1"}])],
        [HumanMessage("How much is the fish?"), SystemMessage("Be kind.")],
    ],
)
def test_another_prompt_has_another_hash(other: Any) -> None:
    assert fingerprint(CONVERSATION).prompt != fingerprint(other).prompt


def test_another_workspace_has_another_hash() -> None:
    one, other = fingerprint(CONVERSATION, [("a", 1)], "key"), fingerprint(CONVERSATION, [("a", 1)], "other key")
    assert one.prompt != other.prompt
    assert one.arguments != other.arguments


def test_arguments_are_the_same_in_any_order_and_as_text_or_parsed() -> None:
    (parsed, reordered, text, other, torn) = fingerprint(
        CONVERSATION,
        [
            ("search", {"query": "fish", "page": 1}),
            ("search", {"page": 1, "query": "fish"}),
            ("search", '{"page": 1, "query": "fish"}'),
            ("search", {"page": 2, "query": "fish"}),
            ("search", '{"page": 1, "que'),
        ],
    ).arguments
    assert parsed == reordered == text
    assert len({parsed, other, torn}) == 3
    assert len(parsed[1]) == 32


def test_what_cannot_be_text_in_utf8_has_a_hash_too() -> None:
    assert fingerprint([HumanMessage("a lone \ud800 surrogate")], [("a", {"x": "\ud800"})]).prompt


def test_a_call_without_messages_has_only_hashes_of_arguments() -> None:
    keyed = fingerprint([], [("search", {})])
    assert keyed.prompt is None
    assert len(keyed.arguments) == 1


def test_without_a_key_there_is_no_hash() -> None:
    fingerprints = Fingerprints(Losses())
    fingerprints.put("call", CONVERSATION, [])
    fingerprints.settle(60)
    assert fingerprints.keyed("call", "") is None
    assert fingerprints.keyed("another call", "key") is None


def test_text_is_let_go_as_soon_as_it_is_hashed() -> None:
    let_go = threading.Event()

    class Watched(str):
        __slots__ = ()

        def __del__(self) -> None:
            let_go.set()

    fingerprints = Fingerprints(Losses())
    fingerprints.put("call", [Watched("private")], [])
    fingerprints.settle(60)
    assert let_go.wait(60)
    assert b"private" not in repr(fingerprints.__dict__).encode()


def test_a_message_of_an_unknown_shape_costs_its_hash_and_is_counted() -> None:
    class Broken:
        @property
        def content(self) -> str:
            raise RuntimeError

    losses = Losses()
    fingerprints = Fingerprints(losses)
    fingerprints.put("broken", [Broken()], [])
    fingerprints.put("whole", CONVERSATION, [])
    fingerprints.settle(60)
    assert (fingerprints.call_ids(), losses.by_reason()) == (["whole"], {"fingerprint": 1})


def test_threads_that_put_first_together_start_one_hasher_and_settling_waits_for_all() -> None:
    fingerprints = Fingerprints(Losses())
    others = set(threading.enumerate())
    together = threading.Barrier(8)

    def put(number: int) -> None:
        together.wait(60)
        fingerprints.put(str(number), CONVERSATION, [])

    callers = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    fingerprints.settle(60)
    assert len(set(threading.enumerate()) - others) == 1
    assert len(fingerprints) == 8


def test_prompts_that_wait_are_bounded_and_what_is_over_is_counted() -> None:
    class Slow:
        type = "human"

        @property
        def content(self) -> str:
            go_on.wait(60)
            return ""

    go_on = threading.Event()
    losses = Losses()
    fingerprints = Fingerprints(losses)
    fingerprints.put("slow", [Slow()], [])
    deadline = time.monotonic() + 60
    while fingerprints._queue.qsize() and time.monotonic() < deadline:
        time.sleep(0.001)
    for number in range(MAX_WAITING + 7):
        fingerprints.put(str(number), CONVERSATION, [])
    assert losses.by_reason() == {"fingerprint": 7}
    go_on.set()
    fingerprints.settle(10)
    assert len(fingerprints) == MAX_WAITING + 1


def test_hashes_that_wait_for_a_server_are_bounded_and_the_oldest_go() -> None:
    losses = Losses()
    fingerprints = Fingerprints(losses)
    for number in range(MAX_KEPT + 3):
        fingerprints.put(str(number), ["x"], [])
        if number % 200 == 0:
            fingerprints.settle(60)
    fingerprints.settle(60)
    assert len(fingerprints) == MAX_KEPT
    assert fingerprints.call_ids()[0] == "3"
    assert losses.by_reason() == {"fingerprint": 3}

"""Every shape in which integrations hand over what a call used, and the buckets its tokens land in."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult

from langchain_plugin.request import Request
from langchain_plugin.usage import Usage, read_usage
from langchain_plugin.wire import LLMCall, TokenCounts
from tests.factories import NOON


def result(
    usage: dict[str, Any] | None,
    text: str = "Hello.",
    llm_output: dict[str, Any] | None = None,
    info: dict[str, Any] | None = None,
    **message: Any,
) -> LLMResult:
    """As `on_llm_end` gets it. The usage is set past the constructor: integrations do so too, unchecked."""
    answer = AIMessage(text, **message)
    answer.usage_metadata = usage  # type: ignore[assignment]
    return LLMResult(generations=[[ChatGeneration(message=answer, generation_info=info)]], llm_output=llm_output)


def metadata(
    input_tokens: Any, output_tokens: Any, total: Any = None, ins: Any = None, outs: Any = None
) -> dict[str, Any]:
    usage = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    usage["total_tokens"] = input_tokens + output_tokens if total is None else total
    if ins is not None:
        usage["input_token_details"] = ins
    if outs is not None:
        usage["output_token_details"] = outs
    return usage


# ── usage_metadata, integration by integration ───────────────────────────────────────────────────────────────────

READ_AS_REPORTED = {
    "two totals and nothing else": (metadata(350, 240), TokenCounts(350, 240)),
    "openai: cached, reasoning": (
        metadata(10_000, 1_000, ins={"audio": 0, "cache_read": 8_000}, outs={"audio": 0, "reasoning": 640}),
        TokenCounts(10_000, 1_000, cache_read_tokens=8_000, reasoning_tokens=640),
    ),
    "openai: audio in and out": (
        metadata(420, 180, ins={"audio": 400, "cache_read": 0}, outs={"audio": 150, "reasoning": 0}),
        TokenCounts(420, 180, input_audio_tokens=400, output_audio_tokens=150),
    ),
    "openai: cache written, for as long as it pleases": (
        metadata(3_000, 10, ins={"cache_read": 1_000, "cache_creation": 1_500}),
        TokenCounts(3_000, 10, cache_read_tokens=1_000, cache_write_unknown_tokens=1_500),
    ),
    "anthropic: writes split by lifetime, cache_creation then 0": (
        # 100 fresh + 5,000 read + 500 + 1,500 written = 7,100
        metadata(
            7_100,
            50,
            ins={
                "cache_read": 5_000,
                "cache_creation": 0,
                "ephemeral_5m_input_tokens": 500,
                "ephemeral_1h_input_tokens": 1_500,
            },
        ),
        TokenCounts(7_100, 50, cache_read_tokens=5_000, cache_write_5m_tokens=500, cache_write_1h_tokens=1_500),
    ),
    "anthropic: the split beside its sum is not counted twice": (
        metadata(
            2_100,
            50,
            ins={"cache_creation": 2_000, "ephemeral_5m_input_tokens": 500, "ephemeral_1h_input_tokens": 1_500},
        ),
        TokenCounts(2_100, 50, cache_write_5m_tokens=500, cache_write_1h_tokens=1_500),
    ),
    "anthropic: a stream tells writes without their lifetime": (
        metadata(1_532, 9, ins={"cache_read": 1_111, "cache_creation": 418}),
        TokenCounts(1_532, 9, cache_read_tokens=1_111, cache_write_unknown_tokens=418),
    ),
    "gemini: thoughts are within the output": (
        metadata(10_050, 1_000, ins={"cache_read": 8_000}, outs={"reasoning": 600}),
        TokenCounts(10_050, 1_000, cache_read_tokens=8_000, reasoning_tokens=600),
    ),
    "a detail nobody knows is no token of ours": (
        metadata(100, 10, ins={"text": 90, "image": 10}, outs={"citation_tokens": 5}),
        TokenCounts(100, 10),
    ),
    "details that are None": (
        metadata(100, 10) | {"input_token_details": None, "output_token_details": None},
        TokenCounts(100, 10),
    ),
    "a detail that is None": (
        metadata(100, 10, ins={"cache_read": None}, outs={"reasoning": None}),
        TokenCounts(100, 10),
    ),
    "no total_tokens": ({"input_tokens": 100, "output_tokens": 10}, TokenCounts(100, 10)),
    "a total_tokens without the cached part, as ChatBedrock has it": (
        metadata(7_100, 50, total=150, ins={"cache_read": 5_000, "cache_creation": 2_000}),
        TokenCounts(7_100, 50, cache_read_tokens=5_000, cache_write_unknown_tokens=2_000),
    ),
}


@pytest.mark.parametrize(("usage", "counts"), READ_AS_REPORTED.values(), ids=READ_AS_REPORTED)
def test_what_a_provider_reports_is_taken_as_it_comes(usage: dict[str, Any], counts: TokenCounts) -> None:
    read = read_usage(result(usage))

    assert (read.counts, read.reported, read.suspect) == (counts, True, "")


MENDED = {
    "old langchain-aws: cached tokens beside the input": (
        # total 7,150 = 100 + 50 + 5,000 + 2,000, so the input is 7,100
        metadata(100, 50, total=7_150, ins={"cache_read": 5_000, "cache_creation": 2_000}),
        TokenCounts(7_100, 50, cache_read_tokens=5_000, cache_write_unknown_tokens=2_000),
    ),
    "cached tokens beside a longer input: only the total gives them away": (
        # total 16,000 = 10,000 + 1,000 + 5,000; the reasoning is within
        metadata(10_000, 1_000, total=16_000, ins={"cache_read": 5_000}, outs={"reasoning": 600}),
        TokenCounts(15_000, 1_000, cache_read_tokens=5_000, reasoning_tokens=600),
    ),
    "more cached than read: it cannot be within": (
        metadata(100, 50, ins={"cache_read": 5_000}),
        TokenCounts(5_100, 50, cache_read_tokens=5_000),
    ),
    "langchain-google-vertexai: thoughts beside the output": (
        # total 11,000 = 10,000 + 400 + 600
        metadata(10_000, 400, total=11_000, ins={"cache_read": 8_000}, outs={"reasoning": 600}),
        TokenCounts(10_000, 1_000, cache_read_tokens=8_000, reasoning_tokens=600),
    ),
    "reasoning beside a longer output: only the total gives it away": (
        # total 11,600 = 10,000 + 1,000 + 600; what was cached is within
        metadata(10_000, 1_000, total=11_600, ins={"cache_read": 5_000}, outs={"reasoning": 600}),
        TokenCounts(10_000, 1_600, cache_read_tokens=5_000, reasoning_tokens=600),
    ),
    "xai behind ChatOpenAI: reasoning beside the completion": (
        metadata(100, 20, total=620, ins={"cache_read": 64}, outs={"reasoning": 500}),
        TokenCounts(100, 520, cache_read_tokens=64, reasoning_tokens=500),
    ),
    "perplexity: more reasoning than output, and a total that leaves it out": (
        metadata(33, 11_395, outs={"reasoning": 95_305}),
        TokenCounts(33, 106_700, reasoning_tokens=95_305),
    ),
    "both at once": (
        # 100 + 20 + 30 + 40 = 190
        metadata(100, 20, total=190, ins={"cache_read": 30}, outs={"reasoning": 40}),
        TokenCounts(130, 60, cache_read_tokens=30, reasoning_tokens=40),
    ),
    "more audio than tokens": (
        metadata(10, 5, ins={"audio": 12}, outs={"audio": 7}),
        TokenCounts(10, 5, input_audio_tokens=10, output_audio_tokens=5),
    ),
    "a total nothing explains is only doubted": (metadata(100, 20, total=500), TokenCounts(100, 20)),
}


@pytest.mark.parametrize(("usage", "counts"), MENDED.values(), ids=MENDED)
def test_totals_that_leave_out_their_parts_are_mended_and_said_to_be(
    usage: dict[str, Any], counts: TokenCounts
) -> None:
    read = read_usage(result(usage))

    assert read.counts == counts
    assert read.reported
    assert read.suspect


def test_on_googles_models_the_unexplained_rest_of_the_total_is_the_prompt_of_server_side_tools() -> None:
    # 11,050 = 10,000 + 400 + 600 thoughts + 50 of a tool's prompt
    usage = metadata(10_000, 400, total=11_050, outs={"reasoning": 600})

    read = read_usage(result(usage, response_metadata={"model_provider": "google_vertexai"}))

    assert read.counts == TokenCounts(10_050, 1_000, reasoning_tokens=600)


# ── service tiers ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("tier", ["flex", "priority"])
def test_openais_tiers_prefix_their_keys_and_a_bare_key_is_not_counted(tier: str) -> None:
    # What langchain-openai makes of 10,000 in (8,000 cached) and 1,000 out (640 reasoning) at a tier.
    usage = metadata(
        10_000,
        1_000,
        ins={"audio": 0, f"{tier}_cache_read": 8_000, f"{tier}_cache_creation": 500, tier: 2_000},
        outs={"audio": 0, f"{tier}_reasoning": 640, tier: 360},
    )

    read = read_usage(result(usage))

    assert read.counts == TokenCounts(
        10_000, 1_000, cache_read_tokens=8_000, cache_write_unknown_tokens=500, reasoning_tokens=640
    )
    assert read.service_tier == tier


@pytest.mark.parametrize("details", [{"ins": {"flex": 120}}, {"outs": {"flex": 30}}], ids=["input", "output"])
def test_a_bare_tier_is_named_even_when_nothing_was_cached_or_thought(details: dict[str, Any]) -> None:
    read = read_usage(result(metadata(120, 30, **details)))

    assert (read.counts, read.service_tier) == (TokenCounts(120, 30), "flex")


@pytest.mark.parametrize(
    ("llm_output", "response_metadata", "tier"),
    [
        (None, {}, ""),
        (None, {"service_tier": "default"}, "default"),
        ({"service_tier": "priority"}, {}, "priority"),
        ({"usage": {"service_tier": "batch"}}, {}, "batch"),
        ({"usage": {"service_tier": "standard", "speed": "fast"}}, {}, "fast"),
        (None, {"serviceTier": {"type": "priority"}}, "priority"),  # Bedrock Converse
        (None, {"service_tier": "flexflex"}, "flex"),  # two chunks of a stream, merged
    ],
)
def test_the_tier_is_read_from_wherever_the_response_has_it(
    llm_output: dict[str, Any] | None, response_metadata: dict[str, Any], tier: str
) -> None:
    assert (
        read_usage(result(metadata(1, 1), llm_output=llm_output, response_metadata=response_metadata)).service_tier
        == tier
    )


# ── raw usage, where there is no usage_metadata ──────────────────────────────────────────────────────────────────

RAW = {
    "openai": (
        {
            "prompt_tokens": 10_000,
            "completion_tokens": 1_000,
            "total_tokens": 11_000,
            "prompt_tokens_details": {"cached_tokens": 8_000, "audio_tokens": 7},
            "completion_tokens_details": {"reasoning_tokens": 640, "audio_tokens": 9},
        },
        TokenCounts(10_000, 1_000, 8_000, 0, 0, 0, 640, 7, 9),
    ),
    "anthropic, which counts its cache beside the input": (
        {
            "input_tokens": 100,
            "output_tokens": 50,
            "cache_read_input_tokens": 5_000,
            "cache_creation_input_tokens": 2_000,
            "cache_creation": {"ephemeral_5m_input_tokens": 500, "ephemeral_1h_input_tokens": 1_500},
        },
        TokenCounts(7_100, 50, 5_000, 500, 1_500),
    ),
    "a proxy with anthropic's keys beside openai's, which include them": (
        {
            "prompt_tokens": 7_100,
            "completion_tokens": 50,
            "cache_read_input_tokens": 5_000,
            "cache_creation_input_tokens": 2_000,
        },
        TokenCounts(7_100, 50, 5_000, 0, 0, 2_000),
    ),
    "gemini": (
        {
            "prompt_token_count": 10_000,
            "cached_content_token_count": 8_000,
            "candidates_token_count": 400,
            "thoughts_token_count": 600,
            "tool_use_prompt_token_count": 50,
            "total_token_count": 11_050,
        },
        TokenCounts(10_050, 1_000, 8_000, reasoning_tokens=600),
    ),
    "gemini, without a total": (
        {"prompt_token_count": 10, "candidates_token_count": 40, "thoughts_token_count": 6},
        TokenCounts(10, 46, reasoning_tokens=6),
    ),
    "bedrock converse": (
        {
            "inputTokens": 100,
            "outputTokens": 50,
            "cacheReadInputTokens": 5_000,
            "cacheWriteInputTokens": 2_000,
            "totalTokens": 7_150,
        },
        TokenCounts(7_100, 50, 5_000, 0, 0, 2_000),
    ),
    "deepseek": (
        {"prompt_tokens": 100, "completion_tokens": 20, "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36},
        TokenCounts(100, 20, 64),
    ),
    "watsonx": ({"input_token_count": 12, "generated_token_count": 3}, TokenCounts(12, 3)),
}


@pytest.mark.parametrize(
    "place", ["llm_output.token_usage", "llm_output.usage", "response_metadata", "generation_info"]
)
@pytest.mark.parametrize(("raw", "counts"), RAW.values(), ids=RAW)
def test_raw_usage_is_read_in_each_providers_words(raw: dict[str, Any], counts: TokenCounts, place: str) -> None:
    if place.startswith("llm_output"):
        read = read_usage(result(None, llm_output={place.split(".")[1]: raw}))
    elif place == "response_metadata":
        read = read_usage(result(None, response_metadata={"usage": raw}))
    else:
        read = read_usage(result(None, info={"usage_metadata": raw}))

    assert (read.counts, read.reported) == (counts, True)


def test_ollama_leaves_its_counts_in_the_response_metadata() -> None:
    read = read_usage(result(None, response_metadata={"model": "llama3", "prompt_eval_count": 26, "eval_count": 5}))

    assert (read.counts, read.reported, read.response_model) == (TokenCounts(26, 5), True, "llama3")


def test_ollama_counts_no_input_for_a_prompt_it_had_cached_so_the_input_is_unknown() -> None:
    read = read_usage(result(None, response_metadata={"prompt_eval_count": None, "eval_count": 5}))

    assert (read.counts, read.reported) == (TokenCounts(0, 5), False)
    assert read.suspect == "no input_tokens were reported"


def test_usage_metadata_goes_before_the_raw_usage() -> None:
    """They differ where an integration adds what its provider counts apart: xAI's reasoning, Anthropic's cache."""
    raw = {"prompt_tokens": 100, "completion_tokens": 20}

    read = read_usage(result(metadata(100, 520, outs={"reasoning": 500}), llm_output={"token_usage": raw}))

    assert read.counts == TokenCounts(100, 520, reasoning_tokens=500)


def test_deepseeks_cache_hits_are_seen_behind_chatopenai_which_passes_over_them() -> None:
    raw = {"prompt_tokens": 100, "completion_tokens": 20, "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36}

    read = read_usage(result(metadata(100, 20, ins={}), llm_output={"token_usage": raw}))

    assert read.counts == TokenCounts(100, 20, cache_read_tokens=64)


def test_more_cache_hits_than_there_is_input_are_not_believed() -> None:
    read = read_usage(result(metadata(100, 20), llm_output={"token_usage": {"prompt_cache_hit_tokens": 640}}))

    assert read.counts == TokenCounts(100, 20)


def test_an_absurd_compaction_is_not_believed() -> None:
    iterations = [{"type": "compaction", "input_tokens": 99_999_999, "output_tokens": 1}]

    assert read_usage(result(metadata(181, 8), llm_output={"usage": {"iterations": iterations}})).counts == TokenCounts(
        181, 8
    )


def test_anthropics_server_side_compaction_is_added_where_its_iterations_are_told() -> None:
    iterations = [
        {
            "type": "compaction",
            "input_tokens": 100,
            "cache_read_input_tokens": 55_096,
            "cache_creation_input_tokens": 0,
            "output_tokens": 83,
        },
        {
            "type": "message",
            "input_tokens": 181,
            "cache_read_input_tokens": 0,
            "cache_creation_input_tokens": 0,
            "output_tokens": 8,
        },
    ]

    read = read_usage(result(metadata(181, 8), llm_output={"usage": {"input_tokens": 181, "iterations": iterations}}))

    # 181 + 100 + 55,096 = 55,377 in; 8 + 83 = 91 out
    assert read.counts == TokenCounts(55_377, 91, cache_read_tokens=55_096)


def test_cache_writes_of_a_stream_have_the_lifetime_the_request_asked_for() -> None:
    usage = metadata(1_532, 9, ins={"cache_read": 1_111, "cache_creation": 418})

    read = read_usage(result(usage), Request(cache_ttl="1h"))

    assert read.counts == TokenCounts(1_532, 9, cache_read_tokens=1_111, cache_write_1h_tokens=418)


# ── several answers, several prompts ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("with_usage", [(True, False, False), (True, True, True), (False, False, True)])
def test_three_answers_to_one_prompt_share_one_bill(with_usage: tuple[bool, ...]) -> None:
    answers = [AIMessage("a", usage_metadata=metadata(100, 60) if has_usage else None) for has_usage in with_usage]

    read = read_usage(LLMResult(generations=[[ChatGeneration(message=answer) for answer in answers]]))

    assert (read.counts, read.reported) == (TokenCounts(100, 60), True)


def text_completion(token_usage: dict[str, Any]) -> LLMResult:
    output = {"token_usage": token_usage, "model_name": "gpt-3.5-turbo-instruct"}
    return LLMResult(generations=[[Generation(text="four words of answer")]], llm_output=output)


def test_a_text_completion_has_its_usage_in_the_llm_output() -> None:
    read = read_usage(
        text_completion({"prompt_tokens": 12, "completion_tokens": 4, "total_tokens": 16}), Request(batch_size=1)
    )

    assert (read.counts, read.reported, read.response_model) == (TokenCounts(12, 4), True, "gpt-3.5-turbo-instruct")


def test_a_text_completion_may_keep_what_its_chat_model_said() -> None:
    usage = metadata(2_100, 50, ins={"cache_creation": 0, "ephemeral_1h_input_tokens": 2_000})
    response = LLMResult(
        generations=[[Generation(text="four words of answer", generation_info={"usage_metadata": usage})]]
    )

    assert read_usage(response).counts == TokenCounts(2_100, 50, cache_write_1h_tokens=2_000)


def test_the_later_prompts_of_a_batch_were_billed_with_the_first() -> None:
    read = read_usage(text_completion({}), Request(batch_size=3))

    assert (read.counts, read.reported) == (TokenCounts(), True)


def test_chat_models_asked_together_have_a_bill_each_so_an_empty_one_is_missing() -> None:
    assert not read_usage(result(None, llm_output={"token_usage": {}}), Request(batch_size=2)).reported


def test_a_streamed_text_completion_without_usage_is_not_taken_for_a_batch() -> None:
    read = read_usage(text_completion({}), Request(batch_size=1))

    assert (read.reported, read.output_characters) == (False, 20)


# ── nothing reported, or nonsense ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "response",
    [
        None,
        LLMResult(generations=[]),
        LLMResult(generations=[[]]),
        result(None),
        result({}),
        result(metadata(0, 0)),
        result({"input_tokens": None, "output_tokens": None}),
        result(None, llm_output={"token_usage": {}}),
        result(None, llm_output={"token_usage": None}),
        object(),
        "a string",
        {"generations": 3},
    ],
    ids=repr,
)
def test_what_reports_nothing_is_not_reported(response: Any) -> None:
    read = read_usage(response)

    assert (read.counts, read.reported) == (TokenCounts(), False)


def test_zeros_beside_an_answer_are_not_believed_and_the_answer_is_measured() -> None:
    tool_call = {"name": "search", "args": {"q": "x"}, "id": "1", "type": "tool_call"}

    read = read_usage(result(metadata(0, 0), text="12345", tool_calls=[tool_call]))

    # "12345" is 5, "search" 6, "{'q': 'x'}" 10
    assert (read.reported, read.output_characters) == (False, 21)


def test_zeros_where_nothing_was_answered_are_believed() -> None:
    assert read_usage(result(metadata(0, 0), text="")).reported


def test_an_empty_answer_may_have_used_no_output() -> None:
    read = read_usage(result(metadata(120, 0), text=""))

    assert (read.counts, read.reported, read.suspect) == (TokenCounts(120, 0), True, "")


def test_an_answer_without_output_tokens_keeps_the_input_that_was_reported() -> None:
    read = read_usage(result(metadata(120, 0), text="Hello."))

    assert (read.counts, read.reported, read.suspect) == (TokenCounts(120, 0), False, "no output_tokens were reported")


@pytest.mark.parametrize(
    ("reported", "taken"),
    [
        (12.0, 12),
        ("12", 12),
        (Decimal(12), 12),
        (True, 0),
        (-5, 0),
        (float("nan"), 0),
        (float("inf"), 0),
        ("many", 0),
        ([], 0),
        (10**9, 0),
    ],
)
def test_odd_counts_become_whole_numbers_or_nothing(reported: Any, taken: int) -> None:
    assert read_usage(result({"input_tokens": reported, "output_tokens": 7})).counts == TokenCounts(taken, 7)


@pytest.mark.parametrize("text", ["Hello.", ""])
def test_counts_no_model_could_reach_are_not_believed(text: str) -> None:
    read = read_usage(result(metadata(60_000_000, 1, ins={"cache_read": 90_000_000}), text=text))

    assert (read.counts, read.reported) == (TokenCounts(), False)
    assert "not believed" in read.suspect


# ── what else a result tells ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("paid_nothing", [0, 0.0])
def test_an_answer_of_langchains_own_cache_is_known_by_its_cost(paid_nothing: float) -> None:
    read = read_usage(result(metadata(100, 20) | {"total_cost": paid_nothing}))

    assert (read.served_from_local_cache, read.counts, read.reported) == (True, TokenCounts(100, 20), True)


@pytest.mark.parametrize("cost", [0.0012, False, None])
def test_any_other_cost_is_no_cache_hit(cost: Any) -> None:
    assert not read_usage(result(metadata(100, 20) | {"total_cost": cost})).served_from_local_cache


def test_a_cached_answer_that_never_had_usage_is_still_a_cache_hit() -> None:
    read = read_usage(result({"total_cost": 0}))

    assert (read.served_from_local_cache, read.reported) == (True, False)


def test_the_counts_stay_what_they_were_when_the_result_changes_later() -> None:
    usage = metadata(100, 20, ins={"cache_read": 30})
    response = result(usage)

    read = read_usage(response)
    usage["input_tokens"] = 0
    usage["input_token_details"]["cache_read"] = 0
    response.generations.clear()

    assert read.counts == TokenCounts(100, 20, cache_read_tokens=30)


@pytest.mark.parametrize(
    ("response_metadata", "llm_output", "model"),
    [
        ({"model_name": "gpt-4o-2024-08-06"}, {"model_name": "gpt-4o"}, "gpt-4o-2024-08-06"),
        ({"model": "llama3"}, None, "llama3"),
        ({}, {"model_name": "M"}, "M"),
        ({}, {"model": "claude-sonnet-4-5"}, "claude-sonnet-4-5"),
        ({"model_name": "gpt-4ogpt-4ogpt-4o"}, None, "gpt-4o"),
        ({"model_name": "a\x00b\ud800"}, None, "a\ufffdb\ufffd"),
        ({"model_name": "m" * 10_000}, None, "m" * 200),
        ({"model_name": 7}, None, "7"),
        ({}, None, ""),
    ],
)
def test_the_answering_model_is_named(
    response_metadata: dict[str, Any], llm_output: dict[str, Any] | None, model: str
) -> None:
    response = result(metadata(1, 1), llm_output=llm_output, response_metadata=response_metadata)

    assert read_usage(response).response_model == model


def test_tool_calls_are_listed_with_those_that_do_not_parse() -> None:
    calls = [{"name": "search", "args": {"q": "x"}, "id": "1", "type": "tool_call"}]
    invalid = [{"name": "write", "args": "{not json", "id": "2", "error": None, "type": "invalid_tool_call"}]

    read = read_usage(result(metadata(1, 1), tool_calls=calls, invalid_tool_calls=invalid))

    assert read.tool_calls == [("search", {"q": "x"}), ("write", "{not json")]


@pytest.mark.parametrize("name", ["the customer's card is 4111 1111", "x" * 65, "", None, "two\nlines"])
def test_what_a_model_wrote_in_place_of_a_tools_name_is_not_passed_on(name: Any) -> None:
    invalid = [{"name": name, "args": "{", "id": "1", "error": None, "type": "invalid_tool_call"}]
    assert read_usage(result(metadata(1, 1), invalid_tool_calls=invalid)).tool_calls == [("unknown tool", "{")]


def test_no_more_tool_calls_are_listed_than_the_wire_takes() -> None:
    calls = [{"name": f"t{i}", "args": {}, "id": str(i), "type": "tool_call"} for i in range(100)]

    assert len(read_usage(result(metadata(1, 1), tool_calls=calls)).tool_calls) == 64


# ── anything at all ──────────────────────────────────────────────────────────────────────────────────────────────

KEYS = st.sampled_from(
    [
        *("input_tokens", "output_tokens", "total_tokens", "input_token_details", "output_token_details", "total_cost"),
        *(
            "cache_read",
            "cache_creation",
            "ephemeral_5m_input_tokens",
            "ephemeral_1h_input_tokens",
            "audio",
            "reasoning",
        ),
        *("flex", "priority", "flex_cache_read", "priority_reasoning", "token_usage", "usage", "usage_metadata"),
        *("prompt_tokens", "completion_tokens", "cache_read_input_tokens", "prompt_cache_hit_tokens", "iterations"),
        *("model_name", "model_provider", "service_tier", "prompt_eval_count", "thoughts_token_count", "type"),
    ]
)
COUNTS = st.one_of(st.integers(0, 1_000), st.integers(), st.integers(99_999_990, 100_000_010))
LEAVES = st.one_of(
    COUNTS, st.floats(), st.booleans(), st.none(), st.text(), st.sampled_from(["compaction", "google_genai", "flex"])
)
JUNK = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=6)),
    max_leaves=12,
)
DICTS = st.dictionaries(KEYS, JUNK, max_size=8)
DETAILS = st.dictionaries(KEYS, COUNTS, max_size=6)
NEARLY_USAGE = st.fixed_dictionaries(
    {"input_tokens": COUNTS, "output_tokens": COUNTS},
    optional={"total_tokens": COUNTS, "input_token_details": DETAILS, "output_token_details": DETAILS},
)


class Anything:
    """An object with whatever attributes a result could have."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


@settings(max_examples=400, deadline=None)
@given(
    usage=st.one_of(NEARLY_USAGE, JUNK),
    response_metadata=st.one_of(DICTS, JUNK),
    llm_output=st.one_of(DICTS, JUNK),
    tool_calls=JUNK,
)
def test_whatever_a_result_holds_the_wire_takes_what_is_read_from_it(
    usage: Any, response_metadata: Any, llm_output: Any, tool_calls: Any
) -> None:
    message = Anything(
        usage_metadata=usage, response_metadata=response_metadata, content="Hello.", tool_calls=tool_calls
    )
    generation = Anything(message=message, generation_info=response_metadata)

    read = read_usage(Anything(generations=[[generation]], llm_output=llm_output))

    call = as_call(read)
    assert call.output_tokens == read.counts.output_tokens


def test_a_bug_in_the_reading_is_told_and_costs_the_numbers_not_the_call() -> None:
    class Broken:
        @property
        def generations(self) -> Any:
            raise ZeroDivisionError

    told: list[Exception] = []

    read = read_usage(Broken(), on_bug=told.append)

    assert (read.counts, read.reported) == (TokenCounts(), False)
    assert list(map(type, told)) == [ZeroDivisionError]
    with pytest.raises(ZeroDivisionError):
        read_usage(Broken())


def as_call(read: Usage) -> LLMCall:
    return LLMCall(
        type="llm_call",
        call_id=uuid4(),
        run_id=uuid4(),
        agent="support-bot",
        started_at=NOON,
        ended_at=NOON,
        usage_basis="measured" if read.reported else "estimated",
        response_model=read.response_model,
        service_tier=read.service_tier,
        served_from_local_cache=read.served_from_local_cache,
        tool_calls=tuple((name, "") for name, _ in read.tool_calls),
        **read.counts._asdict(),
    )

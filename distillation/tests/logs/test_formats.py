"""Logs of applications become chat rows: what was asked, what was answered, tools as text."""

import csv
import json

import pytest

from distillation.imports.reading.errors import ImportRefused, RowError
from distillation.imports.reading.preview import preview_file
from distillation.imports.reading.rows import ReadOptions, read_examples

USER = {"role": "user", "content": "My card is lost"}
REQUEST = {"model": "gpt-4o-mini", "messages": [{"role": "system", "content": "Label."}, USER]}
RESPONSE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_760_000_000,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "lost_card"},
            "finish_reason": "stop",
        }
    ],
}
CALL = {"id": "1", "type": "function", "function": {"name": "block", "arguments": '{"card": 1}'}}
CALL_TEXT = '<tool_call>\n{"name": "block", "arguments": {"card": 1}}\n</tool_call>'


def written(tmp_path, name, *rows, indent=None):
    path = tmp_path / name
    path.write_text("\n".join(json.dumps(row, indent=indent) for row in rows))
    return path


def read(path):
    return list(read_examples(path, ReadOptions(source="logs")))


def turns(row):
    assert not isinstance(row, RowError), str(row)
    return [(turn["role"], turn["content"]) for turn in row.messages]


LABELLED = [("system", "Label."), ("user", "My card is lost"), ("assistant", "lost_card")]


@pytest.mark.parametrize(
    "row",
    [
        {"request": REQUEST, "response": RESPONSE},
        {"request": {"body": REQUEST}, "response": {"status_code": 200, "body": RESPONSE}},
        REQUEST | RESPONSE,
        {"custom_id": "r-1", "body": REQUEST, "response": {"status_code": 200, "body": RESPONSE}},
        {
            "object": "list",
            "data": [RESPONSE | {"messages": REQUEST["messages"]}],
            "has_more": False,
        },
    ],
    ids=["pair", "bodies", "stored", "batch", "page"],
)
def test_a_request_with_its_response_is_a_row_labelled_by_the_log(tmp_path, row):
    [example] = read(written(tmp_path, "log.jsonl", row))
    assert turns(example) == LABELLED
    said = example.provenance
    assert (said.labelled_by, said.who) == ("log", "gpt-4o-mini-2024-07-18")
    assert said.external in ("chatcmpl-1", "r-1")
    assert said.at.startswith("2025-10-09")
    assert example.external_id == said.external


def test_results_of_a_batch_find_their_requests_earlier_in_the_file(tmp_path):
    request = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": REQUEST}
    result = {"id": "b", "custom_id": "a", "error": None}
    result["response"] = {"status_code": 200, "body": RESPONSE}
    [example] = read(written(tmp_path, "batch.jsonl", request, result))
    assert turns(example) == LABELLED
    [lonely] = read(written(tmp_path, "results.jsonl", result))
    assert "does not say what was requested" in lonely.message
    [waiting] = read(written(tmp_path, "requests.jsonl", request))
    assert waiting.code == "no_result"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (
            {"response": {"status_code": 429, "body": {"error": {"message": "slow down"}}}},
            "failed_request",
        ),
        ({"response": {"error": {"message": "no"}}}, "failed_request"),
        (
            {
                "response": RESPONSE
                | {"choices": [RESPONSE["choices"][0] | {"finish_reason": "length"}]}
            },
            "answer_cut_off",
        ),
    ],
)
def test_a_call_without_a_whole_answer_is_left_out_with_its_reason(tmp_path, change, code):
    good = {"request": REQUEST, "response": RESPONSE}
    rows = read(written(tmp_path, "log.jsonl", good, good | change))
    assert [row.code for row in rows if isinstance(row, RowError)] == [code]


def test_tool_calls_and_their_results_are_kept_as_text(tmp_path):
    messages = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "1", "content": "blocked"},
    ]
    tools = [{"type": "function", "function": {"name": "block", "parameters": {}}}]
    row = {"request": {"messages": messages, "tools": tools}, "response": RESPONSE}
    [example] = read(written(tmp_path, "log.jsonl", row))
    system, *rest = turns(example)
    assert system[0] == "system"
    assert '"name": "block"' in system[1]
    assert rest == [
        ("user", "My card is lost"),
        ("assistant", CALL_TEXT),
        ("user", "<tool_response>\nblocked\n</tool_response>"),
        ("assistant", "lost_card"),
    ]


LANGFUSE = {
    "id": "obs-1",
    "traceId": "t-1",
    "type": "GENERATION",
    "startTime": "2026-01-02T03:04:05Z",
    "model": "gpt-4o",
    "input": REQUEST["messages"],
    "output": {"role": "assistant", "content": "lost_card"},
}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"input": {"messages": REQUEST["messages"]}, "output": "lost_card"},
        {"input": json.dumps(REQUEST["messages"]), "output": json.dumps({"content": "lost_card"})},
        {"output": RESPONSE},
    ],
)
def test_a_generation_of_langfuse_is_a_row(tmp_path, change):
    [example] = read(written(tmp_path, "langfuse.jsonl", LANGFUSE | change))
    assert turns(example) == LABELLED
    assert example.provenance.external == "obs-1"
    assert example.provenance.who == "gpt-4o"
    assert example.provenance.at == "2026-01-02T03:04:05Z"


def test_spans_and_failures_of_langfuse_are_no_rows(tmp_path):
    span = LANGFUSE | {"type": "SPAN"}
    failed = LANGFUSE | {"level": "ERROR", "statusMessage": "timeout"}
    rows = read(written(tmp_path, "langfuse.json", [span, failed, LANGFUSE]))
    assert [getattr(row, "code", "row") for row in rows] == ["failed_request", "row"]


def test_langfuse_csv_and_pages_of_its_api_are_read_too(tmp_path):
    path = tmp_path / "langfuse.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(LANGFUSE)
        table.writerow([v if isinstance(v, str) else json.dumps(v) for v in LANGFUSE.values()])
    assert turns(read(path)[0]) == LABELLED
    page = {"data": [LANGFUSE, LANGFUSE], "meta": {"page": 1}}
    pretty = written(tmp_path, "page.json", page, indent=2)
    assert [turns(row) for row in read(pretty)] == [LABELLED, LABELLED]


def otlp(attributes=(), events=(), name="chat"):
    span = {
        "traceId": "t1",
        "spanId": "s1",
        "name": name,
        "startTimeUnixNano": "1760000000000000000",
        "attributes": [{"key": key, "value": value_of(v)} for key, v in dict(attributes).items()],
        "events": [
            {"name": n, "attributes": [{"key": k, "value": value_of(v)} for k, v in facts.items()]}
            for n, facts in events
        ],
    }
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": [span]}]}]}


def value_of(value):
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [value_of(item) for item in value]}}
    return {"kvlistValue": {"values": [{"key": k, "value": value_of(v)} for k, v in value.items()]}}


OLD = {
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.prompt.0.role": "system",
    "gen_ai.prompt.0.content": "Label.",
    "gen_ai.prompt.1.role": "user",
    "gen_ai.prompt.1.content": "My card is lost",
    "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.content": "lost_card",
}
ASKED = [
    {"role": "system", "parts": [{"type": "text", "content": "Label."}]},
    {"role": "user", "parts": [{"type": "text", "content": "My card is lost"}]},
]
ANSWERED = [{"role": "assistant", "parts": [{"type": "text", "content": "lost_card"}]}]
NEW = {
    "gen_ai.response.model": "gpt-4o",
    "gen_ai.input.messages": json.dumps(ASKED),
    "gen_ai.output.messages": json.dumps(ANSWERED),
}
EVENTS = [
    ("gen_ai.system.message", {"content": "Label."}),
    ("gen_ai.user.message", {"content": "My card is lost"}),
    ("gen_ai.choice", {"message": {"role": "assistant", "content": "lost_card"}}),
]


@pytest.mark.parametrize(
    "row",
    [
        otlp(OLD),
        otlp(NEW),
        otlp(NEW | {"gen_ai.input.messages": ASKED, "gen_ai.output.messages": ANSWERED}),
        otlp(
            NEW
            | {
                "gen_ai.input.messages": json.dumps(ASKED[1:]),
                "gen_ai.system_instructions": json.dumps(ASKED[0]["parts"]),
            }
        ),
        otlp({"gen_ai.request.model": "gpt-4o"}, EVENTS),
        otlp(
            {
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.prompt": json.dumps(REQUEST["messages"]),
                "gen_ai.completion": json.dumps([{"role": "assistant", "content": "lost_card"}]),
            }
        ),
        {"name": "chat", "context": {"trace_id": "t1", "span_id": "s1"}, "attributes": OLD},
    ],
    ids=["numbered", "messages", "structured", "instructions", "events", "contents", "flat"],
)
def test_a_span_of_a_model_is_a_row_in_every_convention(tmp_path, row):
    [example] = read(written(tmp_path, "spans.jsonl", row))
    assert turns(example) == LABELLED
    assert (example.provenance.who, example.provenance.external) == ("gpt-4o", "s1")


def test_log_records_of_one_span_are_one_row(tmp_path):
    records = [
        {"traceId": "t1", "spanId": "s1", "eventName": name, "body": value_of(fields)}
        for name, fields in EVENTS
    ]
    row = {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}
    [example] = read(written(tmp_path, "logs.json", row, indent=1))
    assert turns(example) == LABELLED


def test_tools_in_parts_are_kept_as_text(tmp_path):
    asked = [
        ASKED[1],
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "1", "name": "block", "arguments": {"card": 1}}],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": "ok"}]},
    ]
    row = otlp(NEW | {"gen_ai.input.messages": json.dumps(asked)})
    [example] = read(written(tmp_path, "spans.jsonl", row))
    assert [content for _, content in turns(example)] == [
        "My card is lost", CALL_TEXT, "<tool_response>\nok\n</tool_response>", "lost_card",
    ]  # fmt: skip


def test_spans_without_text_say_how_to_have_it_and_others_are_passed_over(tmp_path):
    empty = otlp({"gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": "3"})
    http = otlp({"http.method": "GET"}, name="GET")
    [error, example] = read(written(tmp_path, "spans.jsonl", http, empty, otlp(NEW)))
    assert error.code == "no_content"
    assert "CAPTURE_MESSAGE_CONTENT" in error.hint
    assert turns(example) == LABELLED


def test_pictures_are_left_out_by_name(tmp_path):
    picture = [{"type": "image_url", "image_url": {"url": "data:…"}}]
    bad = {"messages": [{"role": "user", "content": picture}]}
    good = {"request": REQUEST, "response": RESPONSE}
    [_, error] = read(written(tmp_path, "log.jsonl", good, {"request": bad, "response": RESPONSE}))
    assert error.code == "not_text"
    assert "image_url" in error.message


def test_a_log_of_another_shape_is_told_which_are_known(tmp_path):
    path = written(tmp_path, "log.jsonl", {"timestamp": "2026", "msg": "hello", "level": "info"})
    with pytest.raises(ImportRefused) as refusal:
        read(path)
    for known in ("Langfuse", "OpenTelemetry", "OpenAI"):
        assert known in refusal.value.hint


@pytest.mark.parametrize(
    "row",
    [
        {"question": "2 + 2?", "choices": ["3", "4"], "answer": "4"},
        {"custom_id": "7", "text": "a leak", "label": "plumbing"},
        {"input": "a leak", "output": "plumbing", "id": "1"},
        {"prompt": "Where?", "completion": "Here", "response": "x", "id": "3"},
    ],
)
def test_a_row_of_a_data_set_is_no_log(tmp_path, row):
    [example] = read(written(tmp_path, "rows.jsonl", row))
    assert example.provenance.labelled_by == ""


def test_the_preview_says_whose_log_it_is(tmp_path):
    preview = preview_file(written(tmp_path, "log.jsonl", LANGFUSE), ReadOptions())
    assert preview.shape == "calls of a model, logged by Langfuse"
    assert preview.accepted == 1
    assert preview.refusal is None


def test_personal_data_in_a_log_is_flagged(tmp_path):
    said = [{"role": "user", "content": "Write to jane.doe@example.org"}]
    [example] = read(written(tmp_path, "log.jsonl", LANGFUSE | {"input": said}))
    assert "personal_data:email" in example.flags

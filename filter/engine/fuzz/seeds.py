#!/usr/bin/env python3
"""Writes the seeds of the fuzz corpora: small bodies and answers of the shapes that providers document.

Run it in this folder; what fuzzing finds is added beside the seeds and stays when they are written again.
The first byte of an input says how it is cut; where there is a choice of surface or framing, it goes before.
"""

import json
import pathlib

CORPUS = pathlib.Path(__file__).parent / "corpus"


def seed(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def dump(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def sse(*events, names=False, end=b"\n\n", done=False):
    text = b""
    for event in events:
        if names:
            text += b"event: " + event["type"].encode() + end[: len(end) // 2]
        text += b"data: " + dump(event) + end
    return text + (b"data: [DONE]" + end if done else b"")


# --- JSON walk -------------------------------------------------------------------------------------------------
WALKS = {
    "shapes": b'{"a":{"captured":"x\\u00e9","pieces":"abc\\n"},"items":[1,-2.5e3,true,null,{"alias":"y"}],"judged":{"model":"m"}}',
    "surrogates": b'{"captured":"\\ud83d\\ude00 \\ud800 \\uDC00\\u0000","pieces":"\\ud83d"}',
    "numbers": b"[0,-0,1e5,1E+5,-1.25e-7,123456789012345678901234567890,1.0]",
    "bad-number": b"[01]",
    "bom": b"\xef\xbb\xbf{}",
    "utf8": '{"captured":"naïve 说明 😀"}'.encode(),
    "bad-utf8": b'{"captured":"\xc3("}',
    "duplicate": b'{"judged":{"model":"a","model":"b"}}',
    "disguised": b'{"judged":{"mod\\u0065l":"a"}}',
    "case": b'{"judged":{"Model":"a"}}',
    "deep": b"[" * 127 + b"1" + b"]" * 127,
    "too-deep": b"[" * 130 + b"]" * 130,
    "truncated": b'{"a":[1,2',
    "trailing": b"{} x",
    "control": b'{"captured":"\x01"}',
    "literals": b"[true,false,null,nul]",
    "space": b" \t\r\n{ \"a\" : [ ] } \n",
}
for name, text in WALKS.items():
    seed("json_walk", name, b"\x00" + text)
seed("json_walk", "long-capture", b"\x03" + b'{"captured":"' + b"ab\\n" * 1500 + b'"}')

# --- request bodies --------------------------------------------------------------------------------------------
ANTHROPIC, COUNT, CHAT, RESPONSES, EMBEDDINGS, GEMINI, GEMINI_COUNT, GEMINI_EMBED = 0, 1, 3, 4, 5, 7, 8, 9
TOOLS = [{"name": "read", "description": "Reads a file", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}}]
BODIES = {
    "anthropic": (ANTHROPIC, {"model": "claude-sonnet-4-5", "max_tokens": 32000, "stream": True, "metadata": {"user_id": "user_1_account__session_2"},
                  "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}], "tools": TOOLS,
                  "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"path": "a.rs"}}]},
                               {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "fn main() {\n\t\"x\"\n}"}]}]}]}),
    "anthropic-files": (ANTHROPIC, {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": "file_1"}}]}], "container": "cont_1", "max_tokens": 5, "model": "claude-opus-4-1"}),
    "count": (COUNT, {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "Hi"}]}),
    "chat": (CHAT, {"model": "gpt-5", "stream": True, "n": 2, "max_completion_tokens": 100, "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}),
    "chat-asked": (CHAT, {"messages": [], "stream": True, "stream_options": {"include_usage": True}, "model": "gpt-5"}),
    "chat-declined": (CHAT, {"model": "gpt-5", "stream": True, "stream_options": {"include_usage": False, "x": 1}, "messages": []}),
    "chat-null": (CHAT, {"model": "gpt-5", "stream": True, "stream_options": None, "messages": []}),
    "chat-empty": (CHAT, {"model": "gpt-5", "stream_options": {}, "stream": True, "messages": []}),
    "chat-tool": (CHAT, {"model": "gpt-5", "messages": [{"role": "assistant", "content": None, "audio": {"id": "audio_1"}, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]}, {"role": "tool", "tool_call_id": "c", "content": "ok"}]}),
    "responses": (RESPONSES, {"model": "gpt-5-codex", "stream": True, "store": False, "prompt_cache_key": "k", "instructions": "i", "previous_response_id": "resp_1",
                  "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}, {"type": "item_reference", "id": "msg_1"}, {"type": "reasoning", "id": "rs_1", "encrypted_content": "AAAA", "summary": []}],
                  "tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}, {"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file_1"]}}]}),
    "responses-text": (RESPONSES, {"input": "Hi", "model": "gpt-5", "background": True, "conversation": {"id": "conv_1"}, "prompt": {"id": "pmpt_1", "version": "2"}}),
    "embeddings": (EMBEDDINGS, {"input": ["a", "b"], "model": "text-embedding-3-small", "user": "u"}),
    "gemini": (GEMINI, {"contents": [{"role": "user", "parts": [{"text": "Hi"}, {"fileData": {"fileUri": "https://example.com/files/1", "mimeType": "text/plain"}}]}], "generationConfig": {"maxOutputTokens": "99", "candidateCount": 2}, "cachedContent": "cachedContents/1"}),
    "gemini-snake": (GEMINI, {"contents": {"parts": {"text": "Hi"}}, "generation_config": {"max_output_tokens": 5}}),
    "gemini-count": (GEMINI_COUNT, {"generateContentRequest": {"model": "models/gemini-2.5-pro", "contents": [{"parts": [{"text": "Hi"}]}]}}),
    "gemini-embed": (GEMINI_EMBED, {"requests": [{"model": "models/text-embedding-004", "content": {"parts": [{"text": "Hi"}]}}]}),
}
for name, (surface, body) in BODIES.items():
    seed("request_body", name, bytes([surface, 0]) + dump(body))
    seed("request_body", name + "-spaced", bytes([surface, 5]) + json.dumps(body, indent=1).encode())
for name, text in {
    "duplicate": b'{"model":"a","messages":[],"model":"b"}',
    "escaped": b'{"mod\\u0065l":"a","messages":[]}',
    "case": b'{"model":"a","MODEL":"b","messages":[]}',
    "no-model": b'{"messages":[]}',
    "number-model": b'{"model":5,"messages":[]}',
    "nul": b'{"model":"a\\u0000b","messages":[]}',
    "raw-nul": b'{"model":"a\x00b","messages":[]}',
    "cut": b'{"model":"a","messages":[{"role":"us',
    "array": b'[{"model":"a"}]',
    "empty": b"",
    "stored-deep": b'{"model":"a","future":[{"more":{"file_\\u0069ds":["x",["y"]]}}],"messages":[]}',
    "stored-values": b'{"model":"a","x":"file-1","y":["https://generativelanguage%2egoogleapis.com/v1beta/files/a"],"z":"gs://b/o"}',
    "elsewhere": b'{"model":"a","API_BASE":"x","fallbacks":["b",{"model":"c","api_key":"k"}],"provider":{}}',
}.items():
    seed("request_body", name, bytes([CHAT, 1]) + text)

for name, text in {
    "items": b'{"model":"a","input":[{"type":"image_generation_call","id":"ig_1"},{"id":"ig_2","result":"AA==","type":"image_generation_call"},{"type":"reasoning","id":"rs_1","summary":[]},{"arguments":"{}","id":"fc_1","type":"function_call"},{"type":"x","action":{"file_id":"y"}}]}',
    "late": b'{"model":"a","input":"x","tools":[{"parameters":{"file_id":"x"},"type":"router:search"}]}',
    "skills": b'{"model":"a","input":"x","tools":[{"type":"shell","environment":{"skills":[{"type":"skill_reference","skill_id":"skill_1"},"skill_2"]}}]}',
}.items():
    seed("request_body", "responses-" + name, bytes([RESPONSES, 2]) + text)

# --- event streams ---------------------------------------------------------------------------------------------
STREAMS = {
    "plain": b"event: ping\ndata: {}\n\ndata: [DONE]\n\n",
    "crlf": b"data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n",
    "cr": b"data: a\r\rdata: b\r\r",
    "mixed": b"data: a\n\r\ndata:b\r\n\n\n\r: comment\nretry: 5\nid: 1\n\ndata\ndata:\n\n",
    "bom": b"\xef\xbb\xbfdata: a\n\n",
    "half-bom": b"\xef\xbbdata: a\n\n",
    "names": b"dat: x\ndatax: y\neventdata: z\nevent\ndata:  two spaces\n\n",
    "open": b"data: a\n\ndata: left over",
    "open-name": b"data: a\n\ndata",
}
for name, text in STREAMS.items():
    seed("sse_stream", name, b"\x00" + text)

# --- usage -----------------------------------------------------------------------------------------------------
SSE, JSON, ARRAY = 0, 1, 2
usage = {"input_tokens": 12, "cache_creation_input_tokens": 7, "cache_read_input_tokens": 4096, "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4}, "output_tokens": 1, "server_tool_use": {"web_search_requests": 2}}
anthropic = [
    {"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": [], "usage": usage}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm\u2026"}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hi \U0001f600"}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{\"a\":"}},
    {"type": "ping"},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 42}},
    {"type": "message_stop"},
]
seed("usage_anthropic", "stream", bytes([SSE, 0]) + sse(*anthropic, names=True))
seed("usage_anthropic", "stream-crlf", bytes([SSE, 7]) + sse(*anthropic, names=True, end=b"\r\n\r\n"))
seed("usage_anthropic", "error", bytes([SSE, 1]) + sse(anthropic[0], {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, names=True))
seed("usage_anthropic", "whole", bytes([JSON, 0]) + dump({"id": "msg_1", "type": "message", "model": "claude-sonnet-4-5", "content": [{"type": "text", "text": "Hi"}, {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}], "stop_reason": "end_turn", "usage": usage}))
seed("usage_anthropic", "iterations", bytes([JSON, 0]) + dump({"type": "message", "model": "m", "content": [], "usage": {**usage, "iterations": [{"type": "message", "input_tokens": 5, "output_tokens": 6}, {"type": "compaction", "input_tokens": 7, "output_tokens": 8}]}}))

chat_usage = {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29, "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 8}}


def chunk(choices, **more):
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5", "choices": choices, **more}


chat = [
    chunk([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}], usage=None),
    chunk([{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}], usage=None),
    chunk([{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{\"a\""}}]}, "finish_reason": None}]),
    chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}]),
    chunk([], usage=chat_usage),
]
seed("usage_openai_chat", "stream", bytes([SSE, 0]) + sse(*chat, done=True))
seed("usage_openai_chat", "whole", bytes([JSON, 0]) + dump({"id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-5", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi", "reasoning_content": "Hm", "refusal": None}, "finish_reason": "stop"}], "usage": chat_usage}))
seed("usage_openai_chat", "error", bytes([SSE, 2]) + sse({"error": {"message": "boom", "type": "server_error"}}, done=True))
seed("usage_openai_chat", "broken-event", bytes([SSE, 3]) + b"data: {\"choices\":[{]}\n\n" + sse(chat[-1], done=True))
seed("usage_openai_chat", "deepseek", bytes([JSON, 0]) + dump({"model": "deepseek-chat", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 5}}))

response_usage = {"input_tokens": 75, "input_tokens_details": {"cached_tokens": 32}, "output_tokens": 1186, "output_tokens_details": {"reasoning_tokens": 1024}, "total_tokens": 1261}
response = {"id": "resp_1", "object": "response", "status": "completed", "model": "gpt-5-codex", "output": [{"type": "reasoning", "id": "rs_1", "summary": []}, {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}, {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}], "usage": response_usage}
responses = [
    {"type": "response.created", "response": {**response, "status": "in_progress", "output": [], "usage": None}},
    {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "content": []}},
    {"type": "response.output_text.delta", "item_id": "msg_1", "delta": "Hi"},
    {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "delta": "{\"a\":1}"},
    {"type": "response.output_item.done", "output_index": 1, "item": {"type": "web_search_call", "id": "ws_1", "action": {"type": "open_page"}}},
    {"type": "response.completed", "response": response},
]
seed("usage_openai_responses", "stream", bytes([SSE, 0]) + sse(*responses, names=True))
seed("usage_openai_responses", "failed", bytes([SSE, 4]) + sse(responses[0], {"type": "response.failed", "response": {**response, "status": "failed", "error": {"code": "server_error", "message": "x"}}}, names=True))
seed("usage_openai_responses", "incomplete", bytes([SSE, 4]) + sse({"type": "response.incomplete", "response": {**response, "status": "incomplete"}}, names=True))
seed("usage_openai_responses", "whole", bytes([JSON, 0]) + dump(response))

gemini_usage = {"promptTokenCount": 12, "cachedContentTokenCount": 5, "candidatesTokenCount": 40, "thoughtsTokenCount": 30, "toolUsePromptTokenCount": 2, "totalTokenCount": 84}
gemini = [
    {"candidates": [{"content": {"parts": [{"text": "Hm", "thought": True}], "role": "model"}, "index": 0}], "usageMetadata": {"promptTokenCount": 12, "totalTokenCount": 12}, "modelVersion": "gemini-2.5-pro", "responseId": "r1"},
    {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]}, "finishReason": "STOP"}], "usageMetadata": gemini_usage},
]
seed("usage_gemini", "stream", bytes([SSE, 0]) + sse(*gemini, end=b"\r\n\r\n"))
seed("usage_gemini", "array", bytes([ARRAY, 0]) + json.dumps(gemini, indent=1).encode())
seed("usage_gemini", "whole", bytes([JSON, 0]) + dump(gemini[1]))
seed("usage_gemini", "error", bytes([ARRAY, 0]) + dump([{"error": {"code": 503, "message": "x", "status": "UNAVAILABLE"}}]))
seed("usage_gemini", "embed", bytes([JSON, 0]) + dump({"embedding": {"values": [0.1, -2e-3]}}))

# --- the usage event -------------------------------------------------------------------------------------------
seed("usage_event", "stream", b"\x00" + sse(*chat, done=True))
seed("usage_event", "crlf", b"\x05" + sse(*chat, end=b"\r\n\r\n", done=True))
seed("usage_event", "cr", b"\x00" + sse(*chat, end=b"\r\r", done=True))
seed("usage_event", "comment", b"\x01: x\n\n" + sse(chat[-1]) + b"data: {\"usage\":{},\"choices\":[]}")
seed("usage_event", "azure", b"\x00" + sse(chunk([], prompt_filter_results=[]), chat[1], chunk([], usage=None), chat[-1], done=True))
seed("usage_event", "lines", b"\x00data: {\"choices\":[],\ndata: \"usage\":{\"prompt_tokens\":1}}\n\n")

# --- whole exchanges (layout: see Script::read) ----------------------------------------------------------------


def exchange(path, body, answers=(), answer=b"", method=0, host=0, key=0, consult=0, cutting=1, flags=0, headers=(0,)):
    text = bytes([method, path, host, key, consult, cutting, flags, len(headers), *headers, len(answers)])
    for status, kind in answers:
        text += bytes([status, kind])
    return text + len(body).to_bytes(2, "little") + body + answer


claude = dump({"model": "claude-a", "max_tokens": 8, "messages": [{"role": "user", "content": "Hi"}]})
smart = dump({"model": "smart", "max_tokens": 8, "stream": True, "messages": []})
chat_body = dump({"model": "gpt-a", "stream": True, "messages": []})
EXCHANGES = {
    "anthropic": exchange(0, claude, [(0, 0)], dump({"id": "msg_1", "type": "message", "usage": usage})),
    "fallback": exchange(0, smart, [(2, 0), (0, 1)], sse(*anthropic, names=True), headers=(0, 12, 13, 15)),
    "three-attempts": exchange(0, smart, [(3, 0), (2, 0), (0, 1)], sse(*anthropic, names=True)),
    "client-gone": exchange(1, smart, [(0, 1)], sse(*anthropic[:3], names=True), flags=2),
    "chat-usage": exchange(2, chat_body, [(0, 1)], sse(*chat, done=True), headers=(1,)),
    "chat-alias": exchange(13, dump({"model": "fast", "messages": []}), [(0, 0)], b"{}", headers=(1, 14)),
    "responses": exchange(3, dump({"model": "gpt-a", "input": "x", "previous_response_id": "resp_1"}), [(0, 0)], dump(response), headers=(1,)),
    "responses-late": exchange(3, dump({"model": "gpt-a", "input": "x", "previous_response_id": "resp_1"}), consult=3, headers=(1,)),
    "gemini-key-in-path": exchange(9, dump({"contents": []}), [(0, 1)], sse(*gemini, end=b"\r\n\r\n"), headers=()),
    "gemini-array": exchange(10, dump({"contents": []}), [(0, 0)], dump(gemini), headers=(6,)),
    "own-login": exchange(0, claude, [(0, 0)], b"{}", headers=(2, 3)),
    "pinned": exchange(15, dump({"model": "claude-b", "messages": []}), [(4, 0)], b"{}"),
    "misled": exchange(0, claude, [(0, 0)], b"{}", flags=0x40),
    "key-in-header": exchange(0, claude, [(0, 0)], b"{}", headers=(0, 8, 21)),
    "two-credentials": exchange(0, claude, headers=(0, 0)),
    "no-credential": exchange(0, claude, headers=()),
    "inactive": exchange(0, claude, key=2),
    "nobody's": exchange(0, claude, key=9),
    "no-access": exchange(0, claude, key=1),
    "denied": exchange(0, dump({"model": "claude-secret", "messages": []})),
    "models": exchange(6, b"", method=1),
    "canary": exchange(20, b"{}", headers=(18,)),
    "alive": exchange(19, b"", method=2, headers=()),
    "opaque": exchange(17, b"", [(0, 0)], b"{}", method=1),
    "duplicate": exchange(0, b'{"model":"claude-a","model":"claude-b"}'),
    "truncated": exchange(0, claude[:-5], flags=1),
    "too-long": exchange(0, claude, headers=(0, 20)),
    "encoded": exchange(0, claude, headers=(0, 11)),
    "upgrade": exchange(3, b"", method=1, headers=(1, 19)),
    "bad-path": exchange(21, claude),
    "elsewhere": exchange(0, claude, host=3),
    "deployed": exchange(2, dump({"model": "az-4o", "messages": []}), [(0, 0)], b"{}"),
    "deployed-pinned": exchange(24, dump({"model": "az-4o", "messages": []}), [(0, 0)], b"{}"),
    "deployment-left": exchange(2, dump({"model": "az-4o/../../files?api-version=2024-10-21&x=", "messages": []}), [(0, 0)]),
    "deployment-other": exchange(2, dump({"model": "az-5/chat/completions?api-version=2024-10-21&x=", "messages": []}), [(0, 0)]),
}
# Paths and queries from `PATHS`, whether they pass or not.
for path in range(25, 38):
    EXCHANGES[f"address-{path}"] = exchange(path, dump({"contents": [], "model": "az-4o"} if path < 27 else {"contents": []}), [(0, 0)], b"{}", headers=() if path in (35, 36) else (0,))
EXCHANGES["address-38"] = exchange(38, b"", [(0, 0)], b"{}", method=1)
EXCHANGES["address-39"] = exchange(39, claude, [(0, 0)], b"{}")
for name, text in EXCHANGES.items():
    seed("engine_exchange", name.replace("'", ""), text)

# --- inputs in any order (layout: see Transition::read) --------------------------------------------------------


def request(path=1, more=b"", count=4):
    return bytes([0, count, 0, 0, 1, path, 2, 3, 5, 4]) + more + b"\x00"


def chunk_of(text, ends=1):
    return bytes([2, len(text)]) + text + bytes([ends])


def attempt(number=1, host=1, status=200, kind=5, text=b""):
    return bytes([6, number, host, 7, number]) + status.to_bytes(2, "little") + bytes([1, 5, kind, 0]) + bytes([8, number, len(text)]) + text + b"\x01"


seed("engine_inputs", "exchange", b"\x00" + request() + chunk_of(claude) + attempt(text=sse(anthropic[-2], names=True)) + b"\x09\xc8\x00\x00\x0a\x0b\x00")
seed("engine_inputs", "chat", b"\x00" + request(2) + chunk_of(chat_body) + attempt(host=2, text=sse(chat[1])) + b"\x0b\x01")
seed("engine_inputs", "strays", b"\x00" + b"\x03" + chunk_of(b"{}") + b"\x04\x01\x00" + b"\x05\x10\x00" + attempt() + request() + b"\x01\x00" + b"\x0a" + b"\x0b\x02" + request())
seed("engine_inputs", "no-mesh", b"\x01" + request() + chunk_of(claude))
seed("engine_inputs", "full", b"\x18" + request() + chunk_of(claude))
seed("engine_inputs", "late-answer", b"\x00" + request(2) + chunk_of(claude, 0) + b"\x03\x05\xff\x7f\x04\x01\x00\x0b\x00")

# --- texts of bodies and streams --------------------------------------------------------------------------------
for name, (_, body) in BODIES.items():
    seed("content_texts", name, dump(body))
seed("content_texts", "media", dump({"messages": [{"role": "user", "content": [
    {"type": "image", "source": {"data": "iVBO", "media_type": "image/png", "type": "base64"}},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}}]}]}))
seed("content_texts", "arguments", dump({"messages": [{"role": "assistant", "tool_calls": [
    {"function": {"name": "f", "arguments": '{"a\\n":"b\\u00e9","n":[4111111111111111]}'}}]}]}))
seed("content_texts", "answer", dump({"choices": [{"message": {"content": "a\n\"b\""}, "logprobs": {"content": [{"token": "a"}]}}]}))
STREAMS = {
    "anthropic": sse({"type": "message_start", "message": {"id": "msg_1", "role": "assistant", "content": [], "usage": {"output_tokens": 1}}},
                     {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
                     {"type": "ping"},
                     {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "the k"}},
                     {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ey is"}},
                     {"type": "content_block_stop", "index": 0},
                     {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}}},
                     {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"a":"k'}},
                     {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": 'ey"}'}},
                     {"type": "content_block_stop", "index": 1},
                     {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
                     {"type": "message_stop"}, names=True),
    "chat": sse({"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a k"}}]},
                {"id": "c", "choices": [{"index": 0, "delta": {"content": "ey "}, "logprobs": {"content": [{"token": "ey "}]}}]},
                {"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "t", "function": {"name": "f", "arguments": '{"a":"key"}'}}]}}]},
                {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}, done=True),
    "responses": sse({"type": "response.created", "sequence_number": 0, "response": {"id": "resp_1", "output": []}},
                     {"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": {"type": "message", "id": "msg_1", "content": []}},
                     {"type": "response.output_text.delta", "sequence_number": 2, "output_index": 0, "content_index": 0, "delta": "a ke"},
                     {"type": "response.output_text.delta", "sequence_number": 3, "output_index": 0, "content_index": 0, "delta": "y "},
                     {"type": "response.output_text.done", "sequence_number": 4, "output_index": 0, "content_index": 0, "text": "a key "},
                     {"type": "response.completed", "sequence_number": 5, "response": {"id": "resp_1", "output": [{"type": "message", "content": [{"type": "output_text", "text": "a key "}]}]}}, names=True),
    "gemini": sse({"candidates": [{"content": {"parts": [{"text": "a k"}]}}]},
                  {"candidates": [{"content": {"parts": [{"text": "ey"}, {"functionCall": {"name": "f", "args": {"x": "key"}}}]}, "finishReason": "STOP"}]}),
    "gemini-array": b'[{"candidates":[{"content":{"parts":[{"text":"a k"}]}}]}\n,\r\n{"candidates":[{"content":{"parts":[{"text":"ey"}]},"finishReason":"STOP"}]}\n]\n',
    "stop": sse({"choices": [{"index": 0, "delta": {"content": "fine "}}]}, {"choices": [{"index": 0, "delta": {"content": "STOP "}}]}, done=True),
    "no-json": b"data: the key\ndata: {oops\n\n: comment\n\nevent: x\n\n",
    "lines": b'data: {"choices":\r\ndata: [{"delta":{"content":"key "}}]}\r\n\r\n',
}
for name, text in STREAMS.items():
    seed("stream_edit", name, text)

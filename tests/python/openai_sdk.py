"""Asks a mesh through the official openai SDK; prints what the SDK made of the answers as one JSON object."""

import json
import sys

import openai

base_url, key, model = sys.argv[1:4]
client = openai.OpenAI(base_url=base_url + "/v1", api_key=key)
messages = [{"role": "user", "content": "Ünïcode 🌊"}]
found = {}


def chat_usage(usage):
    return {
        "input_tokens": usage.prompt_tokens - usage.prompt_tokens_details.cached_tokens,
        "cache_read_tokens": usage.prompt_tokens_details.cached_tokens,
        "output_tokens": usage.completion_tokens,
        "reasoning_tokens": usage.completion_tokens_details.reasoning_tokens,
    }


def response_usage(usage):
    return {
        "input_tokens": usage.input_tokens - usage.input_tokens_details.cached_tokens,
        "cache_read_tokens": usage.input_tokens_details.cached_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.output_tokens_details.reasoning_tokens,
    }


def chat_stream(**options):
    text, usage, chunks_without_choices = "", None, 0
    for chunk in client.chat.completions.create(model=model, messages=messages, stream=True, **options):
        if chunk.usage:
            usage = chat_usage(chunk.usage)
        chunks_without_choices += not chunk.choices
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
    return {"text": text, "usage": usage, "chunks_without_choices": chunks_without_choices}


def response_stream():
    text, usage = "", None
    for event in client.responses.create(model=model, input="Ünïcode 🌊", stream=True):
        if event.type == "response.output_text.delta":
            text += event.delta
        if event.type == "response.completed":
            usage = response_usage(event.response.usage)
    return {"text": text, "usage": usage}


try:
    whole = client.chat.completions.create(model=model, messages=messages)
    found["whole"] = {"text": whole.choices[0].message.content, "usage": chat_usage(whole.usage)}
    found["stream"] = chat_stream()
    found["stream with usage"] = chat_stream(stream_options={"include_usage": True})
    answer = client.responses.create(model=model, input="Ünïcode 🌊")
    found["response"] = {"text": answer.output_text, "usage": response_usage(answer.usage)}
    found["response stream"] = response_stream()
    embedded = client.embeddings.create(model=model, input="x")
    found["embedding"] = {"vector": embedded.data[0].embedding, "input_tokens": embedded.usage.prompt_tokens}
    found["models"] = [entry.id for entry in client.models.list()]
except openai.APIStatusError as error:
    found["refused"] = {
        "kind": type(error).__name__,
        "status": error.status_code,
        "code": error.response.headers.get("x-weir-code"),
        "text": str(error),
    }

print(json.dumps(found))

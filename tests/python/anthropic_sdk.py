"""Asks a mesh through the official anthropic SDK; prints what the SDK made of the answers as one JSON object."""

import json
import sys

import anthropic

base_url, key, model = sys.argv[1:4]
client = anthropic.Anthropic(base_url=base_url, api_key=key)
question = {"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": "Ünïcode 🌊"}]}
found = {}


def usage_of(usage):
    creation = usage.cache_creation
    return {
        "input_tokens": usage.input_tokens,
        "cache_read_tokens": usage.cache_read_input_tokens,
        "cache_write_5m_tokens": creation.ephemeral_5m_input_tokens if creation else 0,
        "cache_write_1h_tokens": creation.ephemeral_1h_input_tokens if creation else 0,
        "output_tokens": usage.output_tokens,
    }


def refusal(error):
    return {
        "kind": type(error).__name__,
        "status": error.status_code,
        "code": error.response.headers.get("x-weir-code"),
        "text": str(error),
    }


try:
    whole = client.messages.create(**question)
    found["whole"] = {"text": whole.content[0].text, "usage": usage_of(whole.usage)}
    with client.messages.stream(**question) as stream:
        text = "".join(stream.text_stream)
        found["stream"] = {"text": text, "usage": usage_of(stream.get_final_message().usage)}
    counted = client.messages.count_tokens(model=model, messages=question["messages"])
    found["count"] = counted.input_tokens
    found["models"] = [entry.id for entry in client.models.list()]
except anthropic.APIStatusError as error:
    found["refused"] = refusal(error)

print(json.dumps(found))

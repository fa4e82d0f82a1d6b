"""Asks a mesh through the official google-genai SDK; prints what the SDK made of the answers as one JSON object."""

import json
import sys

from google import genai
from google.genai import types

base_url, key, model = sys.argv[1:4]
options = types.HttpOptions(base_url=base_url, api_version="v1beta", timeout=60_000)
client = genai.Client(api_key=key, http_options=options)
found = {}

whole = client.models.generate_content(model=model, contents="Ünïcode 🌊")
found["whole"] = whole.text
found["stream"] = "".join(
    chunk.text or "" for chunk in client.models.generate_content_stream(model=model, contents="Ünïcode 🌊")
)
found["count"] = client.models.count_tokens(model=model, contents="Ünïcode 🌊").total_tokens

print(json.dumps(found))

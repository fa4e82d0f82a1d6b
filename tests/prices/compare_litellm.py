#!/usr/bin/env python3
"""Lists where Weir's price book and the price map of the PyPI package `litellm` disagree.

Neither side is taken to be right: a line is a question for the vendor's own page. The exit code is 0 unless an
input cannot be read.

    compare_litellm.py PRICE_MAP [--book BOOK] [--missing]

PRICE_MAP is `model_prices_and_context_window_backup.json` of the package. `--missing` also lists the models of
the map that the book has no price for.
"""

import argparse
import fnmatch
import json
import re
import sys
from pathlib import Path

BOOK = Path(__file__).resolve().parents[2] / "policy-service/policy/src/price/book.json"

# Table of the book -> what the map puts in front of the model's name, and who it says provides it.
TABLES = {
    "anthropic": ("", "anthropic"),
    "azure": ("azure/", "azure"),
    "deepseek": ("deepseek/", "deepseek"),
    "fireworks": ("fireworks_ai/", "fireworks_ai"),
    "google": ("gemini/", "gemini"),
    "groq": ("groq/", "groq"),
    "mistral": ("mistral/", "mistral"),
    "openai": ("", "openai"),
    "openrouter": ("openrouter/", "openrouter"),
    "together": ("together_ai/", "together_ai"),
    "xai": ("xai/", "xai"),
}

TOKEN_MODES = {"chat", "completion", "embedding", "responses", None}

# Class of the book -> field of the map.
CLASSES = {
    "input": "input_cost_per_token",
    "cache_read": "cache_read_input_token_cost",
    "cache_write_5m": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
    "output": "output_cost_per_token",
}

# What a class costs in the book when it has no price of its own.
FALLBACKS = {"cache_read": "input", "cache_write_5m": "input", "cache_write_1h": "cache_write_5m"}


def micro_usd_per_mtok(usd_per_token):
    return round(float(usd_per_token) * 1e12)


def dollars(micro_usd):
    return f"${micro_usd / 1e6:g}"


def precision(pattern):
    """The order in which the book prefers patterns: names before globs, then the longer text."""
    return ("*" not in pattern and "?" not in pattern, len(pattern))


def covers(pattern, model):
    # In the book `[` is an ordinary character.
    escaped = pattern.lower().replace("[", "[[]")
    return fnmatch.fnmatchcase(model.lower(), escaped)


def row_for(rows, model):
    found = [(precision(p), row) for row in rows for p in row["models"] if covers(p, model)]
    return max(found, key=lambda item: item[0])[1] if found else None


def ours(rates, cls):
    price = rates.get(f"{cls}_micro_usd_per_mtok")
    return ours(rates, FALLBACKS[cls]) if price is None else price


def differences(rates, theirs):
    """Yields (what, our price, their price) in micro-dollars per million tokens."""
    for cls, field in CLASSES.items():
        if theirs.get(field) is None:
            continue
        price = micro_usd_per_mtok(theirs[field])
        if ours(rates, cls) != price:
            yield cls, ours(rates, cls), price
    yield from long_context_differences(rates, theirs)


def long_context_differences(rates, theirs):
    tier = rates.get("long_context")
    thresholds = {
        int(match.group(1)) * 1000
        for field in theirs
        if (match := re.fullmatch(r"input_cost_per_token_above_(\d+)k_tokens", field))
    }
    if tier is None:
        for threshold in sorted(thresholds):
            price = theirs[f"input_cost_per_token_above_{threshold // 1000}k_tokens"]
            yield f"input above {threshold}", ours(rates, "input"), micro_usd_per_mtok(price)
        return
    threshold = tier["over_input_tokens"]
    if threshold not in thresholds:
        yield f"input above {threshold}", ours(tier, "input"), micro_usd_per_mtok(theirs["input_cost_per_token"])
        return
    for cls, field in CLASSES.items():
        price = theirs.get(f"{field}_above_{threshold // 1000}k_tokens")
        if price is not None and ours(tier, cls) != micro_usd_per_mtok(price):
            yield f"{cls} above {threshold}", ours(tier, cls), micro_usd_per_mtok(price)


def models_of(price_map, prefix, provider):
    for key, entry in price_map.items():
        if not isinstance(entry, dict) or entry.get("litellm_provider") != provider:
            continue
        if entry.get("mode") not in TOKEN_MODES or entry.get("input_cost_per_token") is None:
            continue
        # Some providers' models stand in the map twice, with the prefix and without.
        if key.startswith(prefix):
            yield key.removeprefix(prefix), entry


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("price_map", type=Path)
    arguments.add_argument("--book", type=Path, default=BOOK)
    arguments.add_argument("--missing", action="store_true")
    options = arguments.parse_args()
    try:
        price_map = json.loads(options.price_map.read_text())
        book = json.loads(options.book.read_text())
    except (OSError, ValueError) as error:
        print(f"cannot read a price list: {error}", file=sys.stderr)
        return 1

    compared = disagreeing = 0
    missing = {}
    print(f"book {book['version']} against {options.price_map}")
    for table, (prefix, provider) in TABLES.items():
        for model, theirs in sorted(models_of(price_map, prefix, provider)):
            row = row_for(book["tables"][table], model)
            if row is None:
                missing.setdefault(table, []).append(model)
                continue
            compared += 1
            found = list(differences(row["rates"], theirs))
            disagreeing += bool(found)
            for what, our_price, their_price in found:
                state = "unverified" if row.get("unverified") else "verified"
                print(f"{table} {model}: {what} {dollars(our_price)}, litellm {dollars(their_price)} ({state})")
    print(f"{compared} models compared, {disagreeing} disagree")
    for table, models in missing.items():
        print(f"{table}: {len(models)} models of the map have no price in the book")
        if options.missing:
            print("".join(f"  {model}\n" for model in models), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Cutting very long text before it is tokenised, so that the first ids provably stay what they were.

Only the first `max_tokens` ids of a document are read, but normalising and pre-tokenising walk over all of it. A *safe
cut* is a blank (U+0020) between two plain characters. Let P be the text before it. Then

* the normalised text begins with the normalised P and a blank: plain characters and blanks neither compose nor reorder
  with each other, and there is a grapheme boundary between them;
* the pre-tokeniser splits at that blank, and its other splits look at no character beyond it;
* no added token contains white space, so none reaches over the cut;
* a tokenizer model looks at one piece at a time.

So the ids of P are the first ids of the whole text. Whether P has enough of them is checked after tokenising it.
"""

import re
from collections.abc import Mapping
from typing import Any

RULE = 1
"""The version of this rule: part of every encoder's fingerprint."""

# Letters, digits and marks of scripts that write blanks: no combining mark, no prepended mark, no vowel sign, nothing
# whose normal form begins or ends with one, or that composes with a neighbour.
_PLAIN = "!-~À-ÖØ-öø-ʯΆΈ-ΊΌΎ-ΡΣ-ώ\u0400-\u0481\u048a-\u052fא-תء-غف-يぁ-ゖァ-ヺ㐀-䶿一-鿿가-힣"
_SAFE_CUT = re.compile(f"(?<=[{_PLAIN}]) (?=[{_PLAIN}])")

_LOCAL_NORMALIZERS = {
    "BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled", "Prepend", "Strip",
    "StripAccents",
}  # fmt: skip
_BLANK_RUNS = ({"String": "  "}, {"Regex": " {2,}"})
_SPLIT_AT_BLANKS = {"BertPreTokenizer", "Metaspace", "Whitespace", "WhitespaceSplit"}
_LOCAL_SPLITS = {*_SPLIT_AT_BLANKS, "Digits", "Punctuation"}


def is_provable(tokenizer: Mapping[str, Any]) -> bool:
    """Whether the rule holds for a tokenizer, given as the value of its tokenizer.json."""
    splits = _parts(tokenizer["pre_tokenizer"], "pretokenizers")
    return (
        all(_is_local(part) for part in _parts(tokenizer["normalizer"], "normalizers"))
        and all(part["type"] in _LOCAL_SPLITS for part in splits)
        and any(part["type"] in _SPLIT_AT_BLANKS and part.get("split", True) for part in splits)
        and not any(re.search(r"\s", token["content"]) for token in tokenizer["added_tokens"])
    )


def cut(text: str, max_chars: int) -> str:
    """The text before its last safe cut at or before `max_chars`; all of it where there is none."""
    if len(text) <= max_chars:
        return text
    blank = max_chars + 1
    while (blank := text.rfind(" ", 0, blank)) > 0:
        if _SAFE_CUT.match(text, blank):
            return text[:blank]
    return text


def _is_local(normalizer: Mapping[str, Any]) -> bool:
    if normalizer["type"] == "Replace":
        return normalizer["pattern"] in _BLANK_RUNS
    return normalizer["type"] in _LOCAL_NORMALIZERS


def _parts(value: Mapping[str, Any] | None, inner: str) -> list[Mapping[str, Any]]:
    if value is None:
        return []
    if value["type"] == "Sequence":
        return [part for each in value[inner] for part in _parts(each, inner)]
    return [value]

"""nanotoken in the place of tokenizers, where it is installed and gives the same ids: WordPiece, many times as fast.

It is young and the work of one author, so it is never taken at its word. When a tokenizer is loaded, both encode some
hundred texts made to break tokenizers, whole and truncated; one id that differs, and nanotoken is not used.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

Encode = Callable[[Sequence[str], int | None], tuple[NDArray[np.int32], NDArray[np.int64]]]
"""The first ids of n texts, so many of each or all (None), in one flat array; and the n + 1 borders between texts."""

_PROCESS = os.getpid()
_SEED = 0
_NUM_MIXTURES = 250
_MAX_PIECES = 12
_MAX_CHARS = 8
_LIMITS = (None, 1, 32)  # after the first, all comes from nanotoken's cache
_SHOWN_CHARS = 20

# First and last of: ASCII twice, controls, Latin with accents, combining marks, Greek and Cyrillic, Hebrew and Arabic,
# Devanagari, Thai, jamo, vowel signs, general punctuation with zero widths, signs, kana, CJK, Hangul, private use,
# compatibility forms, musical signs, mathematical letters, emoji, CJK beyond, unassigned, tags, the end.
_BLOCKS = (
    (0x20, 0x7E), (0x30, 0x7A), (0x00, 0x1F), (0x7F, 0xFF), (0x100, 0x24F), (0x300, 0x36F), (0x370, 0x52F),
    (0x590, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x1100, 0x11FF), (0x1780, 0x1AFF), (0x1E00, 0x1FFF),
    (0x2000, 0x206F), (0x2070, 0x2BFF), (0x3000, 0x30FF), (0x3400, 0x9FFF), (0xAC00, 0xD7A3), (0xE000, 0xF8FF),
    (0xF900, 0xFFFF), (0x10000, 0x12FFF), (0x1D000, 0x1D7FF), (0x1F000, 0x1FAFF), (0x20000, 0x323AF),
    (0x40000, 0xDFFFF), (0xE0000, 0xE01EF), (0xF0000, 0x10FFFF),
)  # fmt: skip
_PIECES = (
    "[CLS]", "[SEP]", "[MASK]", "[UNK]", "[PAD]", "[cls]", "[SEP", "</s>", "<mask>", "##ing", "##", "x" * 99, "x" * 100,
    "x" * 101, "X" * 5000, "é" * 100, "e\u0301" * 60, "水" * 101, "a\u0301\u0323\u0300", "\u0301", "ǅ", "ŉ", "İstanbul",
    "I\u0307", "straße", "ΣΑΣ", "ﬁn", "①", "½", "\u017f", "¨", "👨\u200d👩\u200d👧", "👍🏽", "❄\ufe0f", "🇫🇷",
    "\u00adsoft", "zero\u200bwidth", "word\u2060joiner", "nul\x00l", "vertical\x0btab", "form\x0cfeed", "\x7f", "\x85",
    "\ufeffbom", "\ufffd", "\uffff", "\u061c", "שָׁ", "\u200fמם", "شُكراً", "नमस्ते", "น้ำ", "한국어", "\u1112\u1161\u11ab",
    "がぎ", "\u30ab\u3099", "ｶ\uff9e", "\uff21", "3.14159", "1,000,000", "2026-11-21", "٣٤", "...!?!?", "-----", "it's",
    "don\u2019t", "U.S.A.", "$5", "a_b", "C++", "~^`|<=>+", "https://a.org/b.html?q=1&r=%20#top", "someone@a.org",
)  # fmt: skip
_GAPS = ("", "", " ", " ", " ", "  ", "\n", "\t", "\r\n", "\u00a0", "\u2028", "\u3000", "\u2009", "\x0b", " \u0301")
_PROSE = (
    "",
    "   ",
    "The mill by the river ground flour until the last winter of the war; nobody had repaired it since.",
    "He said: \"Well — if that's so, we'll (probably) need 3 or 4 more, won't we?\" She wasn't sure.",
    "L'été dernier, à Noël, le garçon mangeait des pâtés; où était sa sœur?",
    "Река текла мимо мельницы, и ёлки шумели.",
    "水车在河边转动。第2台是1998年建的。",
)


def fastest(tokenizer: Any, reference: Encode) -> tuple[Encode, str]:
    """What encodes fastest with the ids of `reference`, and what to call it in reports, with the proof or the reason.

    `tokenizer` is a ``tokenizers.Tokenizer`` that neither truncates nor pads, `reference` how it encodes.
    """
    name = f"tokenizers {metadata.version('tokenizers')}"
    try:
        import nanotoken

        encode = partial(_encode, nanotoken.Tokenizer.from_json(tokenizer.to_str()))
    except ModuleNotFoundError:
        return reference, name
    except (ImportError, ValueError) as error:  # it cannot be loaded, or refuses this tokenizer
        return reference, f"{name} (nanotoken: {error})"
    texts = probes(tokenizer)
    if (text := _first_difference(encode, reference, texts)) is not None:
        shown = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
        return reference, f"{name} (nanotoken differs on {shown!r})"
    return encode, f"nanotoken {metadata.version('nanotoken')}, equal on {len(texts)} probes"


def probes(tokenizer: Any) -> list[str]:
    """Texts on which tokenizers are likely to differ, some of the tokenizer's own words; the same ones every time."""
    draw = np.random.default_rng(_SEED).integers
    known = [token.removeprefix("##") for token in sorted(tokenizer.get_vocab())]
    pieces = [*_PIECES, *(token.content for token in tokenizer.get_added_tokens_decoder().values())]

    def pick(choices: Sequence[Any]) -> Any:
        return choices[int(draw(len(choices)))]

    def word(first: int, last: int) -> str:
        return "".join(map(chr, draw(first, last + 1, draw(1, _MAX_CHARS + 1))))

    def mixture() -> str:
        words = ((word(*pick(_BLOCKS)), pick(pieces), pick(known)) for _ in range(draw(1, _MAX_PIECES + 1)))
        return "".join(pick(choices) + pick(_GAPS) for choices in words)

    texts = [*_PROSE, *pieces, *(word(*block) for block in _BLOCKS), *(mixture() for _ in range(_NUM_MIXTURES))]
    return [*texts, " ".join(texts)]


def _encode(tokenizer: Any, texts: Sequence[str], limit: int | None) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    # By itself it takes one thread in whatever multiprocessing started, and Dask's workers are that. A forked child has
    # the pool of its parent without the threads, and would wait for them for ever.
    is_parallel = os.environ.get("RAYON_NUM_THREADS") != "1" and os.getpid() == _PROCESS
    found = tokenizer.encode_batch(texts, add_special_tokens=False, max_length=limit, parallel=is_parallel)
    return found.ids.view(np.int32), found.offsets


def _first_difference(encode: Encode, reference: Encode, texts: Sequence[str]) -> str | None:
    for limit in _LIMITS:
        ours, theirs = (
            np.split(ids, borders[1:-1]) for ids, borders in (encode(texts, limit), reference(texts, limit))
        )
        for text, mine, yours in zip(texts, ours, theirs, strict=True):
            if not np.array_equal(mine, yours):
                return text
    return None

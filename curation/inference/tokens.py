"""Texts → token ids: once for each tokenizer, straight into flat arrays, equal to what transformers gives."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.core.errors import ConfigError, ModelError
from curation.core.fingerprint import fingerprint
from curation.inference import precut
from curation.inference.files import once, parse_json, read_json, sha256
from curation.inference.nano import fastest

_CHARS_PER_TOKEN = 6
_WIDER = 4
_NUM_WIDENINGS = 2

# What tokenizer_config.json says that no id depends on.
_IDLE_KEYS = {
    "_commit_hash", "chat_template", "clean_up_tokenization_spaces", "is_local", "local_files_only",
    "max_length", "model_max_length", "name_or_path", "pad_to_multiple_of", "padding", "padding_side",
    "processor_class", "special_tokens_map_file", "stride", "tokenizer_file", "transformers_version",
    "truncation", "truncation_strategy", "vocab_file",
}  # fmt: skip
VOCABULARIES = ("vocab.txt", "vocab.json", "merges.txt", "sentencepiece.bpe.model", "spm.model", "spiece.model",
                 "tokenizer.model")  # fmt: skip

# What a tokenizer is compared with transformers on when it is loaded; long enough to be truncated.
_PROBES = (
    "",
    "a",
    "The mill by the river ground flour until the last winter of the war.",
    "  Two\tlines,\nand a third\r\nwith odd   blanks\u00a0and marks: cafe\u0301, na\u00efve, \u01c5ungla!",
    "水车在河边转动。 한국어 река نهر \U0001f9ee\u200d\u2744\ufe0f",
    "x" * 150 + " [SEP] </s> <mask> " + "y1 " * 40,
)
_PROBE_TOKENS = 16


@dataclass(frozen=True)
class Tokens:
    """The ids of n texts, cut to a length and without special tokens.

    `ids` holds the int32 ids of all texts one after the other; text i owns ``ids[offsets[i] : offsets[i + 1]]``.
    `truncated[i]` says that text i had more.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    truncated: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.truncated)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Ids of each text."""
        return np.diff(self.offsets)

    def of(self, index: int) -> NDArray[np.int32]:
        """The ids of one text."""
        return self.ids[self.offsets[index] : self.offsets[index + 1]]

    def cut(self, max_content: int) -> "Tokens":
        """The first `max_content` ids of each text."""
        if not (self.lengths > max_content).any():
            return self
        # What was truncated before is as long as any, so it is cut again.
        return _first(max_content, self.ids, self.offsets[:-1], self.lengths)


@dataclass(frozen=True)
class Template:
    """What a tokenizer puts before and after the ids of one text, and what it fills batches with."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    pad: int

    @property
    def num_special(self) -> int:
        """How many special tokens every text gets."""
        return len(self.prefix) + len(self.suffix)


class Tokenizer:
    """The tokenizer of a model directory, as transformers' AutoTokenizer loads it.

    `how` says what makes the ids, for logs: tokenizers, or nanotoken with the proof that its ids are the same.
    Raises ModelError when transformers cannot load it, or when it cuts or frames texts in another way than this class:
    on the left, or with token types other than 0.
    """

    def __init__(self, directory: Path) -> None:
        reference = _auto_tokenizer(directory)
        # A copy: transformers changes the truncation and padding of its own at every call.
        self._tokenizer = type(reference.backend_tokenizer).from_str(reference.backend_tokenizer.to_str())
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._is_cuttable = _is_cuttable(self._tokenizer)
        self._encode, self.how = fastest(self._tokenizer, partial(_encode, self._tokenizer))
        self.template = _template(reference, directory)
        self._compare(reference, directory)

    def encode(self, texts: Sequence[str], max_content: int) -> Tokens:
        """The first `max_content` ids of each text, without special tokens."""
        wanted = max_content + 1  # one more, so that cutting is seen
        starts, lengths = np.empty((2, len(texts)), np.int64)
        found: list[NDArray[np.int32]] = []
        left = list(range(len(texts)))
        for max_chars in self._piece_lengths(wanted):
            pieces = [texts[i] if max_chars is None else precut.cut(texts[i], max_chars) for i in left]
            ids, offsets = self._encode(pieces, wanted)
            starts[left] = offsets[:-1] + sum(map(len, found))
            lengths[left] = np.diff(offsets)
            found.append(ids)
            cut = [i for i, piece in zip(left, pieces, strict=True) if len(piece) < len(texts[i])]
            left = [i for i in cut if lengths[i] < wanted]
            if not left:
                break
        return _first(max_content, np.concatenate(found), starts, lengths)

    def count(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """The number of ids of each whole text, without special tokens."""
        return np.diff(self._encode(list(texts), None)[1])

    def _piece_lengths(self, wanted: int) -> list[int | None]:
        if not self._is_cuttable:
            return [None]
        return [_CHARS_PER_TOKEN * wanted * _WIDER**n for n in range(_NUM_WIDENINGS)] + [None]

    def _compare(self, reference: Any, directory: Path) -> None:
        """Hold every probe against what transformers makes of it, whole and truncated."""
        for max_tokens in (_PROBE_TOKENS, 1 << 16):
            tokens = self.encode(_PROBES, max_tokens - self.template.num_special)
            for i, text in enumerate(_PROBES):
                ours = [*self.template.prefix, *tokens.of(i).tolist(), *self.template.suffix]
                theirs = reference(text, truncation=True, max_length=max_tokens)
                if ours != theirs["input_ids"] or any(theirs.get("token_type_ids", ())):
                    raise ModelError(
                        f"{directory}: its tokenizer cuts or frames texts in a way that is not supported: "
                        f"{text[:20]!r} gives {theirs['input_ids'][:8]} …, expected {ours[:8]} …."
                    )


@dataclass(frozen=True)
class TokensSpec:
    """How `rows.n_tokens` is found: by one tokenizer over whole texts, or from their bytes.

    `count_tokenizer` is a local directory; "" estimates: UTF-8 bytes divided by `bytes_per_token`, rounded up. Its
    default was measured with BERT's uncased WordPiece on 3,310 English web pages (10,773,198 bytes, 2,340,118 tokens).
    """

    count_tokenizer: str = ""
    bytes_per_token: float = 4.6

    def __post_init__(self) -> None:
        if not self.bytes_per_token > 0:
            raise ConfigError(f"tokens.bytes_per_token: {self.bytes_per_token} is not above 0.")

    def identity(self) -> str:
        """Equal when equal texts have equal numbers. Raises ModelError when the tokenizer is not there."""
        if self.count_tokenizer:
            return tokenizer_fingerprint(Path(self.count_tokenizer))
        return f"bytes / {self.bytes_per_token!r}"

    @property
    def how(self) -> str:
        """Where the numbers come from, for records and tables."""
        if self.count_tokenizer:
            return f"counted by tokenizer {self.identity()[:8]}"
        return f"estimated as bytes / {self.bytes_per_token:g}"


def count_tokens(spec: TokensSpec, texts: Sequence[str], num_bytes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Tokens of each whole text, without special tokens, counted or estimated as `spec` says."""
    if spec.count_tokenizer:
        return _counter(Path(spec.count_tokenizer)).count(texts)
    return np.ceil(num_bytes / spec.bytes_per_token).astype(np.int64)


def tokenizer_fingerprint(directory: Path) -> str:
    """64 hexadecimal digits over all that can change an id; names, paths, versions and length limits are left out."""
    if (file := directory / "tokenizer.json").is_file():
        vocabulary = _tokenizer_json_fingerprint(file)
    elif names := [name for name in VOCABULARIES if (directory / name).is_file()]:
        vocabulary = {name: sha256(directory / name) for name in names}
    else:
        raise ModelError(f"{directory}: has no tokenizer.json and no vocabulary that is known.")
    return fingerprint({"vocabulary": vocabulary, "config": _behaviour(directory)})


def max_length(directory: Path) -> int | None:
    """The longest input that the tokenizer's config names, special tokens included; None where it names none."""
    if not (file := directory / "tokenizer_config.json").is_file():
        return None
    length = read_json(file).get("model_max_length")
    return int(length) if length is not None and length < 1 << 30 else None


def _behaviour(directory: Path) -> Mapping[str, Any]:
    if not (file := directory / "tokenizer_config.json").is_file():
        return {}
    return {key: value for key, value in read_json(file).items() if key not in _IDLE_KEYS}


@once
def _tokenizer_json_fingerprint(file: Path) -> Any:
    tokenizer = parse_json(file)  # not kept: it is large
    return fingerprint({key: value for key, value in tokenizer.items() if key not in {"truncation", "padding"}})


@lru_cache(maxsize=1)
def _counter(directory: Path) -> Tokenizer:
    return Tokenizer(directory)


def _auto_tokenizer(directory: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        reference = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except (ValueError, OSError, KeyError, TypeError, ImportError) as error:
        raise ModelError(f"{directory}: transformers cannot load its tokenizer: {error}") from error
    if not reference.is_fast:
        raise ModelError(f"{directory}: its tokenizer has no fast form (tokenizer.json); convert it once and save it.")
    return reference


def _is_cuttable(tokenizer: Any) -> bool:
    return precut.is_provable(json.loads(tokenizer.to_str()))


def _template(reference: Any, directory: Path) -> Template:
    """Find the special tokens before and after a text by looking at one."""
    bare = reference("a", add_special_tokens=False)["input_ids"]
    framed = reference("a")["input_ids"]
    for start in range(len(framed) - len(bare) + 1):
        stop = start + len(bare)
        if framed[start:stop] == bare:
            return Template(tuple(framed[:start]), tuple(framed[stop:]), reference.pad_token_id or 0)
    raise ModelError(f"{directory}: its tokenizer does not frame a text with special tokens; it gives {framed}.")


def _encode(tokenizer: Any, texts: Sequence[str], limit: int | None) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    if limit is None:
        tokenizer.no_truncation()
    else:
        tokenizer.enable_truncation(limit)
    encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    offsets = _offsets(np.fromiter(map(len, encodings), np.int64, len(encodings)))
    return np.fromiter(chain.from_iterable(each.ids for each in encodings), np.int32, offsets[-1]), offsets


def _first(max_content: int, ids: NDArray[np.int32], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Tokens:
    """The first `max_content` ids of texts that lie anywhere in `ids`."""
    kept = np.minimum(lengths, max_content)
    offsets = _offsets(kept)
    where = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], kept)
    return Tokens(ids[where], offsets, lengths > max_content)


def _offsets(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])

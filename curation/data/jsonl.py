"""JSON Lines: lines in bounded memory, and of each line only the fields that are needed."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

import msgspec
import pyarrow as pa
import xxhash

from curation.core.errors import ShardError
from curation.data import storage
from curation.data.inputs import InputSpec
from curation.data.rows import MAX_RAW_BYTES, Carried, Quarantined, Row, fits_int64

MAX_LINE_BYTES = 1 << 28
"""A longer line is put in quarantine without being held whole."""

_BLOCK_BYTES = 1 << 20
_BLANK = re.compile(rb"[ \t\r]*")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_KINDS = {
    b"": "missing",
    b'"': "a string",
    b"n": "null",
    b"t": "true or false",
    b"f": "true or false",
    b"[": "a list",
    b"{": "an object",
}
_ABSENT = {"missing", "null"}

_text = msgspec.json.Decoder(str)
_identity = msgspec.json.Decoder(str | int)
_values: dict[str, msgspec.json.Decoder[Any]] = {
    "string": _text,
    "int64": msgspec.json.Decoder(int),
    "float64": msgspec.json.Decoder(float),
    "bool": msgspec.json.Decoder(bool),
}


class Line(NamedTuple):
    """A line without its newline, the offset where it starts, and its length; `data` of too long a line is cut."""

    offset: int
    data: bytearray
    num_bytes: int


def lines(blocks: Iterable[bytes], max_bytes: int = MAX_LINE_BYTES) -> Iterator[Line]:
    """The lines in blocks of bytes. Who takes a line owns its data, and may clear it to free memory early."""
    offset, data, length = 0, bytearray(), 0
    for block in blocks:
        view, begin = memoryview(block), 0
        while begin < len(block):
            newline = block.find(b"\n", begin)
            end = newline if newline >= 0 else len(block)
            length += end - begin
            if length <= max_bytes:
                data += view[begin:end]
            else:
                data = data[:MAX_RAW_BYTES] or bytearray(view[begin : begin + MAX_RAW_BYTES])
            if newline >= 0:
                yield Line(offset, data, length)
                offset, data, length = offset + length + 1, bytearray(), 0
            begin = end + 1
    if length:
        yield Line(offset, data, length)


class Fields:
    """Reads the needed fields of one line at a time; everything else in it is skipped, not built.

    Of a key that is there twice, the last counts. Bytes that are not UTF-8 matter only where they are needed.
    """

    def __init__(self, spec: InputSpec) -> None:
        places = {name: f"field{place}" for place, name in enumerate(spec.columns)}
        fields = [(field, msgspec.Raw, msgspec.Raw()) for field in places.values()]
        struct = msgspec.defstruct("Line", fields, rename={field: name for name, field in places.items()})
        self._decode = msgspec.json.Decoder(struct).decode
        self._id = places.get(spec.id_column)
        self._text = places[spec.text_column]
        self._carried = [(places[name], kind) for name, kind in spec.carried.items()]

    def row(self, position: int, data: bytearray) -> Row | Quarantined:
        """The row that a line holds. The data of a row is cleared: a long line must not stay beside its text."""
        try:
            fields = self._decode(data)
            if (kind := _kind(getattr(fields, self._text))) != "a string":
                return Quarantined.of(position, f"text is {kind}", data)
            text = _text.decode(getattr(fields, self._text))
        except msgspec.DecodeError as error:
            return Quarantined.of(position, f"bad JSON: {str(error).removeprefix('JSON is malformed: ')}", data)
        except UnicodeDecodeError:
            return Quarantined.of(position, "bad UTF-8 in the text", data)
        except RecursionError:
            return Quarantined.of(position, "bad JSON: nested too deeply", data)
        identity = _read_id(getattr(fields, self._id)) if self._id else None
        carried = [_read_carried(getattr(fields, field), kind) for field, kind in self._carried]
        del fields
        data.clear()
        return Row(position, identity, text.encode(), len(text), not text or text.isspace(), carried)


class Lines:
    """The rows of a plain file between two bytes that stand at the beginning of lines, by byte offset."""

    def __init__(self, url: str, start: int, stop: int, spec: InputSpec) -> None:
        self._url, self._start, self._stop = url, start, stop
        self._fields = Fields(spec)
        self._digest = xxhash.xxh3_128()
        self.num_read = 0
        self.place = f"at byte {start}"

    def rows(self) -> Iterator[Row | Quarantined]:
        """Every line that is not blank, in order."""
        with storage.opened(self._url) as file:
            for line in lines(self._blocks(file)):
                position = self._start + line.offset
                self.place = f"after byte {position}"
                if position == 0:
                    _drop_byte_order_mark(line.data)
                if (row := _row(line, position, self._fields)) is not None:
                    self.num_read += 1
                    yield row

    @property
    def fingerprint(self) -> str:
        """The xxh3 of the bytes that were read, 32 hexadecimal digits."""
        return self._digest.hexdigest()

    def _blocks(self, file: BinaryIO) -> Iterator[bytes]:
        for block in byte_range(file, self._url, self._start, self._stop):
            self._digest.update(block)
            yield block


class CompressedLines:
    """The rows of a whole .gz or .zst file, by ordinal. Every member or frame of the file is read."""

    def __init__(self, url: str, compression: str, spec: InputSpec) -> None:
        self._url, self._compression = url, compression
        self._fields = Fields(spec)
        self._digest = xxhash.xxh3_128()
        self._num_bytes = 0
        self.num_read = 0

    def rows(self) -> Iterator[Row | Quarantined]:
        """Every line that is not blank, in order. Raises what pyarrow raises when the stream is damaged or cut."""
        with storage.opened(self._url) as file:
            for line in lines(self._blocks(file)):
                if line.offset == 0:
                    _drop_byte_order_mark(line.data)
                if (row := _row(line, self.num_read, self._fields)) is not None:
                    self.num_read += 1
                    yield row

    @property
    def place(self) -> str:
        """About where reading stands."""
        return f"after {self.num_read} rows and before byte {self._num_bytes}"

    @property
    def fingerprint(self) -> str:
        """The xxh3 of the compressed bytes that were read, 32 hexadecimal digits."""
        return self._digest.hexdigest()

    def _blocks(self, file: BinaryIO) -> Iterator[bytes]:
        source = pa.PythonFile(_Watched(file, self._watch), mode="r")
        with pa.CompressedInputStream(source, self._compression) as stream:
            while block := stream.read(_BLOCK_BYTES):
                yield block
        if self._num_bytes == 0:
            raise EOFError("the file is empty, not even an empty compressed stream")
        if file.read(1):
            raise ValueError("something else follows the compressed stream")

    def _watch(self, block: bytes) -> None:
        self._digest.update(block)
        self._num_bytes += len(block)


class _Watched:
    """A file that shows what is read from it."""

    closed = False

    def __init__(self, file: BinaryIO, watch: Callable[[bytes], None]) -> None:
        self._file, self._watch = file, watch

    def read(self, num_bytes: int) -> bytes:
        block = self._file.read(num_bytes)
        self._watch(block)
        return block

    def close(self) -> None:
        self.closed = True


def byte_range(file: BinaryIO, url: str, start: int, stop: int) -> Iterator[bytes]:
    """The bytes from `start` to `stop`, in blocks. Raises ShardError when these no longer bound whole lines."""
    if start:
        file.seek(start - 1)
        _check_boundary(file.read(1) == b"\n", url, start)
    last, left = b"", stop - start
    while left and (block := file.read(min(left, _BLOCK_BYTES))):
        left -= len(block)
        last = block[-1:]
        yield block
    _check_boundary(left == 0 and (last in {b"", b"\n"} or not file.read(1)), url, stop)


def _check_boundary(holds: bool, url: str, byte: int) -> None:
    if not holds:
        raise ShardError(
            f"{url}: no line ends at byte {byte} any more, so the file has changed since it was split into shards. "
            "Start the same command again to plan it anew."
        )


def _row(line: Line, position: int, fields: Fields) -> Row | Quarantined | None:
    """What a line holds, None if nothing."""
    if line.num_bytes > MAX_LINE_BYTES:
        return Quarantined.of(position, f"line is too long: {line.num_bytes} bytes", line.data)
    return None if _BLANK.fullmatch(line.data) else fields.row(position, line.data)


def _drop_byte_order_mark(data: bytearray) -> None:
    if data.startswith(_BYTE_ORDER_MARK):
        del data[: len(_BYTE_ORDER_MARK)]


def _kind(raw: msgspec.Raw) -> str:
    """What a JSON value is, by its first byte."""
    return _KINDS.get(bytes(memoryview(raw)[:1]), "a number")


def _read_id(raw: msgspec.Raw) -> str | None:
    """A string or an integer as a string; None for what identifies nothing."""
    try:
        return str(_identity.decode(raw)) or None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _read_carried(raw: msgspec.Raw, kind: str) -> tuple[Carried, bool]:
    """The value, or None for a missing one; and whether it is of a wrong type, which makes it None too."""
    if _kind(raw) in _ABSENT:
        return None, False
    try:
        value = _values[kind].decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None, True
    return (None, True) if kind == "int64" and not fits_int64(value) else (value, False)

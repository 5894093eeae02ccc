import json
import tracemalloc

import pytest
from input_files import Everything, compressed, documents, json_lines, read_bytes_as, spec_of, write, zstd

from curation.core.errors import ShardError
from curation.data import jsonl
from curation.data.reader import read
from curation.data.rows import MAX_RAW_BYTES
from curation.data.shards import Shard

EXTENSIONS = [".jsonl", ".jsonl.gz", ".jsonl.zst"]


@pytest.fixture(params=EXTENSIONS)
def extension(request):
    return request.param


def test_documents_come_back_in_order(tmp_path, extension):
    data = compressed(json_lines(*documents(1000)), extension)
    everything = read_bytes_as(tmp_path / f"a{extension}", data)
    assert everything.column("id") == [f"d{place}" for place in range(1000)]
    assert everything.texts == [f"Document number {place}." for place in range(1000)]
    assert (everything.count("read"), everything.states) == (1000, [1000, 0, 0, 0])


def test_a_position_is_the_offset_of_the_line_in_a_plain_file(tmp_path):
    data = b'{"text": "a"}\n\n  \n{"text": "b"}\r\nbroken\n{"text": "c"}'
    everything = read_bytes_as(tmp_path / "a.jsonl", data)
    assert everything.column("position") == [0, data.index(b'{"text": "b"'), data.index(b'{"text": "c"')]
    assert [row.position for row in everything.quarantined] == [data.index(b"broken")]


@pytest.mark.parametrize("extension", EXTENSIONS[1:])
def test_a_position_is_the_ordinal_of_the_row_in_a_compressed_file(tmp_path, extension):
    data = b'{"text": "a"}\n\n  \n{"text": "b"}\r\nbroken\n{"text": "c"}'
    everything = read_bytes_as(tmp_path / f"a{extension}", compressed(data, extension))
    assert everything.column("position") == [0, 1, 3]
    assert [row.position for row in everything.quarantined] == [2]


@pytest.mark.parametrize("data", [b"", b"\n", b"\r\n \t\n\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_blank_lines_are_no_rows(tmp_path, extension, data):
    everything = read_bytes_as(tmp_path / f"a{extension}", compressed(data, extension))
    assert (everything.frames, everything.count("read")) == ([], 0)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b'{"text": "windows"}\r', "windows"),
        (b'\xef\xbb\xbf{"text": "marked"}', "marked"),
        (b' \t{"text": "indented"} ', "indented"),
        (b'{"text": "first", "text": "last"}', "last"),
        (b'{"te\\u0078t": "escaped key"}', "escaped key"),
        (rb'{"text": "\ud83d\ude00 \u0000 \n"}', "\U0001f600 \x00 \n"),
        ('{"text": "中文 é 😀 \u2028"}'.encode(), "中文 é 😀 \u2028"),
        (b'{"text": "a", "rest": {"b": [1, null, {"c": 1e999}], "d": "\xff"}, "\xfe": 1}', "a"),
        (b'{"rest": ' + b"9" * 10_000 + b', "text": "a"}', "a"),
    ],
)
def test_an_unusual_line_is_read(tmp_path, extension, line, text):
    everything = read_bytes_as(tmp_path / f"a{extension}", compressed(line + b"\n", extension))
    assert (everything.texts, everything.reasons) == ([text], [])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{}", "text is missing"),
        (b'{"text": null}', "text is null"),
        (b'{"text": 5}', "text is a number"),
        (b'{"text": 1e999}', "text is a number"),
        (b'{"text": -0.5}', "text is a number"),
        (b'{"text": true}', "text is true or false"),
        (b'{"text": ["a", {"b": null}]}', "text is a list"),
        (b'{"text": {"a": [null]}}', "text is an object"),
        (b'{"text": "a", "text": 5}', "text is a number"),
        (b'{"text": "\xff"}', "bad UTF-8 in the text"),
        (b'{"text": "\xed\xa0\x80"}', "bad UTF-8 in the text"),
        (b'{"text": "\xc0\x80"}', "bad UTF-8 in the text"),
        (b'{"text": "cut', "bad JSON: Input data was truncated"),
        (b'{"text": "a"} {"text": "b"}', "bad JSON: trailing characters (byte 15)"),
        (b'{"text": "a\x00b"}', "bad JSON: invalid character (byte 11)"),
        (b"\x00\x00\x00", "bad JSON: invalid character (byte 0)"),
        (b'{"text": NaN}', "bad JSON: invalid character (byte 9)"),
        (rb'{"text": "\udc00 x"}', "bad JSON: invalid utf-16 surrogate pair (byte 16)"),
        (rb'{"text": "\ud800 and more"}', "bad JSON: unexpected end of hex escape (byte 16)"),
        (b"[1]", "bad JSON: Expected `object`, got `array`"),
        (b'"text"', "bad JSON: Expected `object`, got `str`"),
        (b'\xff\xfe{\x00"\x00', "bad JSON: invalid character (byte 0)"),
        (b'{"rest": ' + b"[" * 100_000 + b"]" * 100_000 + b', "text": "a"}', "bad JSON: nested too deeply"),
        (b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "bad JSON: nested too deeply"),
    ],
)
def test_a_line_that_cannot_be_used_goes_to_quarantine(tmp_path, extension, line, reason):
    data = compressed(b'{"text": "before"}\n' + line + b'\n{"text": "after"}\n', extension)
    everything = read_bytes_as(tmp_path / f"a{extension}", data)
    assert everything.texts == ["before", "after"]
    assert everything.reasons == [reason]
    assert everything.quarantined[0].raw == line[:MAX_RAW_BYTES]
    assert (everything.count("read"), everything.states) == (3, [2, 0, 0, 1])


def test_a_byte_order_mark_counts_only_at_the_beginning_of_a_file(tmp_path, extension):
    data = compressed(b'\xef\xbb\xbf{"text": "a"}\n\xef\xbb\xbf{"text": "b"}\n', extension)
    everything = read_bytes_as(tmp_path / f"a{extension}", data)
    assert (everything.texts, everything.states) == (["a"], [1, 0, 0, 1])


@pytest.mark.parametrize(
    ("line", "identity", "made"),
    [
        ({"id": "x", "text": "a"}, "x", 0),
        ({"id": 7, "text": "a"}, "7", 0),
        ({"id": -(2**70), "text": "a"}, str(-(2**70)), 0),
        ({"text": "a"}, "a.jsonl#0", 1),
        ({"id": None, "text": "a"}, "a.jsonl#0", 1),
        ({"id": "", "text": "a"}, "a.jsonl#0", 1),
        ({"id": 1.5, "text": "a"}, "a.jsonl#0", 1),
        ({"id": True, "text": "a"}, "a.jsonl#0", 1),
        ({"id": ["x"], "text": "a"}, "a.jsonl#0", 1),
        (b'{"id": "\xff", "text": "a"}', "a.jsonl#0", 1),
        (b'{"id": ' + b"9" * 5000 + b', "text": "a"}', "a.jsonl#0", 1),
    ],
)
def test_an_id_is_a_string_an_integer_or_made(tmp_path, line, identity, made):
    everything = read_bytes_as(tmp_path / "a.jsonl", json_lines(line))
    assert (everything.column("id"), everything.count("made_ids")) == ([identity], made)


def test_without_an_id_column_every_id_is_made(tmp_path):
    data = json_lines({"id": "x", "text": "a"}, {"id": "x", "text": "b"})
    everything = read_bytes_as(tmp_path / "sub" / "a.jsonl.gz", compressed(data, ".jsonl.gz"), id_column="")
    assert everything.column("id") == ["a.jsonl.gz#0", "a.jsonl.gz#1"]


def test_equal_ids_are_two_documents(tmp_path):
    everything = read_bytes_as(tmp_path / "a.jsonl", json_lines({"id": "x", "text": "a"}, {"id": "x", "text": "b"}))
    assert everything.column("id") == ["x", "x"]


def test_carried_values_keep_their_types_and_wrong_ones_become_null(tmp_path):
    data = json_lines(
        {"text": "a", "s": "x", "i": 2**62, "f": 0.5, "b": True},
        {"text": "b", "s": 5, "i": "5", "f": "x", "b": 1},
        {"text": "c", "s": None, "i": None, "f": None},
        {"text": "d", "s": ["x"], "i": 2**63, "f": 3, "b": {}},
        b'{"text": "e", "s": "\xff", "i": 5.0, "f": 1e999, "b": "true"}',
    )
    everything = read_bytes_as(tmp_path / "a.jsonl", data, carry=("s", "i:int64", "f:float64", "b:bool"))
    (frame,) = everything.frames
    assert [str(frame[name].dtype) for name in "sifb"] == ["str", "Int64", "Float64", "boolean"]
    values = [[None if frame[name].isna()[row] else frame[name][row] for name in "sifb"] for row in range(5)]
    missing = [None, None, None, None]
    assert values == [["x", 2**62, 0.5, True], missing, missing, [None, None, 3.0, None], missing]
    assert everything.count("carry_nulls") == 4 + 3 + 4


def test_other_names_can_hold_id_and_text(tmp_path):
    data = json_lines({"url": "u", "raw content": "a", "id": 5, "text": 5})
    everything = read_bytes_as(tmp_path / "a.jsonl", data, id_column="url", text_column="raw content", carry=("url",))
    assert (everything.column("id"), everything.texts, everything.column("url")) == (["u"], ["a"], ["u"])


def test_a_document_of_fifty_megabytes_goes_alone(tmp_path, extension):
    text = "fifty million bytes! " * 2_500_000
    data = json_lines({"text": "before"}, {"text": text}, {"text": "after"})
    everything = read_bytes_as(tmp_path / f"a{extension}", compressed(data, extension))
    assert [len(frame) for frame in everything.frames] == [1, 1, 1]
    assert everything.column("n_bytes") == [6, len(text), 5]
    assert everything.texts[1] == text


def test_a_line_beyond_the_limit_is_never_held_whole():
    blocks = [b'{"text": "a"}\n{"text": "', *[b"x" * 1000] * 1000, b'"}\n{"text": "b"}\n']
    first, long, last = jsonl.lines(blocks, max_bytes=50_000)
    assert (bytes(first.data), bytes(last.data)) == (b'{"text": "a"}', b'{"text": "b"}')
    assert (long.offset, long.num_bytes, last.offset) == (14, 1_000_012, 14 + 1_000_013)
    assert bytes(long.data) == (b'{"text": "' + b"x" * 50_000)[:MAX_RAW_BYTES]


def test_a_line_beyond_the_limit_goes_to_quarantine(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", 100)
    everything = read_bytes_as(tmp_path / "a.jsonl", json_lines({"text": "a"}, {"text": "x" * 1000}, {"text": "b"}))
    assert everything.texts == ["a", "b"]
    assert everything.reasons == ["line is too long: 1012 bytes"]


@pytest.mark.parametrize("cut", [0, 1, 5, 17, 100])
def test_lines_do_not_depend_on_blocks(cut):
    data = b'{"a": 1}\n\n\r\n{"b": "' + b"x" * 40 + b'"}\nlast'
    blocks = [data[at : at + cut] for at in range(0, len(data), cut)] if cut else [data]
    assert [(line.offset, bytes(line.data)) for line in jsonl.lines(blocks)] == [
        (0, b'{"a": 1}'),
        (9, b""),
        (10, b"\r"),
        (12, b'{"b": "' + b"x" * 40 + b'"}'),
        (62, b"last"),
    ]


@pytest.mark.parametrize("extension", EXTENSIONS[1:])
def test_every_member_of_a_compressed_file_is_read(tmp_path, extension):
    data = b"".join(compressed(json_lines(*documents(300, start)), extension) for start in (0, 300, 600))
    everything = read_bytes_as(tmp_path / f"a{extension}", data)
    assert everything.column("id") == [f"d{place}" for place in range(900)]


def test_a_line_may_cross_from_one_member_to_the_next(tmp_path):
    line = json_lines({"text": "one document"})
    everything = read_bytes_as(tmp_path / "a.jsonl.zst", zstd(line[:9]) + zstd(line[9:]))
    assert everything.texts == ["one document"]


@pytest.mark.parametrize("extension", EXTENSIONS[1:])
@pytest.mark.parametrize("damage", ["cut", "cut in the second member", "rubbish after it", "flipped", "empty", "plain"])
def test_a_damaged_stream_is_an_error_that_says_where(tmp_path, extension, damage):
    lines = json_lines(*({"text": f"{place * 2_654_435_761 % 2**32:x} " * 20} for place in range(20_000)))
    whole = compressed(lines, extension)
    middle = len(whole) // 2
    data = {
        "cut": whole[:-1],
        "cut in the second member": whole + whole[:middle],
        "rubbish after it": whole + b"rubbish after the stream",
        "flipped": whole[:middle] + bytes(255 - byte for byte in whole[middle : middle + 50]) + whole[middle + 50 :],
        "empty": b"",
        "plain": lines,
    }[damage]
    path = write(tmp_path / f"a{extension}", data)
    with pytest.raises(ShardError) as error:
        Everything(spec_of(path))
    message = str(error.value)
    place = {"empty": "after 0 rows and before byte 0:", "plain": "after 0 rows and before byte 65536:"}
    assert message.startswith(f"{path}: reading stopped {place.get(damage, 'after ')}")
    assert not message.startswith(f"{path}: reading stopped after 0 rows") or damage in place
    assert message.endswith("Repair or replace the file, then start the same command again.")


def shard_of(path, start, stop):
    return Shard("a", str(path), "a", "jsonl", "", start, stop, 0, 0, stop - start, -1)


@pytest.mark.parametrize(
    ("start", "stop", "byte"),
    [(0, 30, 30), (0, 9, 9), (5, 26, 5), (13, 20, 20)],
    ids=["shrunk", "grown", "start", "stop"],
)
def test_a_file_that_changed_since_it_was_split_is_an_error(tmp_path, start, stop, byte):
    path = write(tmp_path / "a.jsonl", b'{"text":"a"}\n{"text":"b"}\n')
    with pytest.raises(ShardError, match=f"no line ends at byte {byte} any more, so the file has changed"):
        list(read(shard_of(path, start, stop), spec_of(path)))


def test_only_needed_fields_are_built(tmp_path):
    line = json.dumps({"text": "a", "rest": [{"key": place} for place in range(100_000)]}).encode()
    fields = jsonl.Fields(spec_of(tmp_path))
    data = bytearray(line)
    tracemalloc.start()
    fields.row(0, data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000

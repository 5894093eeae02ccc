"""The file of replies: what is in it is paid, and stays."""

from dataclasses import replace
from pathlib import Path

import pytest

from curation.annotation.endpoint import AnnotatorSpec, Reply
from curation.annotation.replies import Question, Replies, StoredReply
from curation.annotation.rubric import RubricSpec
from curation.core.errors import ShardError

FORMAT_1 = Path(__file__).parents[1] / "golden" / "replies_format_1.jsonl"

ANNOTATOR = AnnotatorSpec("judge", "some/model", "http://localhost:8000/v1")
RUBRIC = RubricSpec("fineweb-edu").load()
QUESTION = Question(ANNOTATOR, RUBRIC, "A text.", 0)


def stored(text="A text.", reply="Educational score: 3"):
    return StoredReply.of(replace(QUESTION, text=text), "doc", Reply(reply, "stop", 100, 20))


def test_replies_are_found_again_by_another_process(tmp_path):
    path = tmp_path / "replies.jsonl"
    Replies(path).append([stored("one"), stored("two", "\u00e4\u4e2d\n")])
    first, second, third = (replace(QUESTION, text=text).key for text in ("one", "two", "three"))
    again = Replies(path)
    assert list(again.get([second, third, first])) == [stored("two", "\u00e4\u4e2d\n"), None, stored("one")]
    assert (first in again, third in again, len(again)) == (True, False, 2)


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_line_that_a_kill_cut_off_is_no_reply_and_spoils_none_that_follows(tmp_path, cut):
    path = tmp_path / "replies.jsonl"
    Replies(path).append([stored("one"), stored("two", "A long reply. " * 20)])
    path.write_bytes(path.read_bytes()[:-cut])
    again = Replies(path)
    assert len(again) == 1
    again.append([stored("two")])
    keys = [replace(QUESTION, text=text).key for text in ("one", "two")]
    for replies in (again, Replies(path)):
        assert list(replies.get(keys)) == [stored("one"), stored("two")]


def test_what_another_run_has_written_meanwhile_stays(tmp_path):
    path = tmp_path / "replies.jsonl"
    slept, awake = Replies(path), Replies(path)
    awake.append([stored("one"), stored("two")])
    with pytest.raises(ShardError, match="another run writes here"):
        slept.append([stored("three")])
    texts = ("one", "two", "three")
    found = Replies(path).get([replace(QUESTION, text=text).key for text in texts])
    assert list(found) == [stored(text) for text in texts]


def test_replies_of_format_1_are_read():
    """The first version wrote this file, and nobody writes it again; the last line is of before lines said a format."""
    first, second = Replies(FORMAT_1).get([stored("one").key, stored("two").key])
    assert first == stored("one", "Ä.\nEducational score: 3")
    assert second == StoredReply(stored("two").key, "Educational score: 1")


def test_what_a_line_says_of_tokens_and_of_its_end_need_not_make_sense():
    line = b'{"key": "ab", "text": "T", "finish": ["x"], "prompt_tokens": "9", "completion_tokens": NaN}'
    assert StoredReply.parse(line) == StoredReply("ab", "T", "['x']", None, None)


def test_replies_of_a_newer_format_are_refused(tmp_path):
    path = tmp_path / "replies.jsonl"
    path.write_bytes(stored("one").line.replace(b'"format":1', b'"format":2'))
    with pytest.raises(ShardError, match=r"replies.jsonl: is of format 2; this version of the package knows 1"):
        Replies(path)


def test_reading_changes_nothing(tmp_path):
    path = tmp_path / "replies.jsonl"
    path.write_bytes(b'{"key"')
    Replies(path)
    assert path.read_bytes() == b'{"key"'


def test_a_damaged_line_is_counted_and_the_others_stay(tmp_path):
    path = tmp_path / "replies.jsonl"
    Replies(path).append([stored("one")])
    path.write_bytes(b"\0\0\0\n" + path.read_bytes())
    again = Replies(path)
    assert (len(again), again.num_damaged) == (1, 1)
    assert list(again.get([replace(QUESTION, text="one").key])) == [stored("one")]


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "documents.jsonl"
    path.write_text('{"id": "a", "text": "A text."}\n')
    with pytest.raises(ShardError, match="holds no replies"):
        Replies(path)


@pytest.mark.parametrize(
    "other",
    [
        replace(QUESTION, text="Another text."),
        replace(QUESTION, number=1),
        replace(QUESTION, annotator=replace(ANNOTATOR, model="another/model")),
        replace(QUESTION, annotator=replace(ANNOTATOR, temperature=0.5)),
        replace(QUESTION, annotator=replace(ANNOTATOR, max_tokens=8)),
        replace(QUESTION, annotator=replace(ANNOTATOR, seed=1)),
        replace(QUESTION, rubric=replace(RUBRIC, version=2)),
        replace(QUESTION, rubric=replace(RUBRIC, prompt=RUBRIC.prompt + "!")),
    ],
)
def test_another_question_has_another_key(other):
    assert other.key != QUESTION.key


@pytest.mark.parametrize(
    "same",
    [
        replace(ANNOTATOR, name="another"),
        replace(ANNOTATOR, base_url="http://elsewhere:8000/v1"),
        replace(ANNOTATOR, concurrency=1, timeout_s=1.0, max_retries=0, input_price=9.0, api_key_env="KEY"),
    ],
)
def test_names_addresses_and_patience_do_not_change_a_question(same):
    assert replace(QUESTION, annotator=same).key == QUESTION.key


def test_another_way_to_read_the_same_reply_is_the_same_question():
    assert replace(QUESTION, rubric=replace(RUBRIC, line=("Score",))).key == QUESTION.key

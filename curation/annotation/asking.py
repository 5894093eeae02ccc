"""All questions that are due, asked at once as far as each endpoint allows."""

import asyncio
import signal
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress

from rich.console import Console

from curation.annotation.endpoint import AnnotatorSpec, Endpoint, RefusedError, UnansweredError
from curation.annotation.plan import Due
from curation.annotation.progress import Totals, shown
from curation.annotation.replies import Question, Replies, StoredReply
from curation.annotation.rubric import Reading
from curation.core.errors import CurationError, EndpointError

FIRST_REPLIES, MOST_UNREADABLE = 100, 90
"""When so many of the first replies under a rubric cannot be read, the others are not paid for."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_MOST_REFUSED = 10  # for each request in flight: a model that would answer nine of ten does so before that


class Asked:
    """What came of it: `unanswered`, the reason by key; whether a signal stopped it, or an error before all was asked.

    The error is EndpointError when an endpoint cannot be used, ShardError when replies cannot be kept.
    """

    def __init__(self) -> None:
        self.unanswered: dict[str, str] = {}
        self.was_stopped = False
        self.error: CurationError | None = None


async def ask_all(
    due: Sequence[tuple[AnnotatorSpec, Iterator[Due]]],
    replies: Replies,
    totals: Totals,
    max_failures: int,
    console: Console,
) -> Asked:
    """Ask, and keep every reply before it counts.

    SIGINT, SIGTERM and SIGUSR1 end it when the requests in flight have their replies, for these are paid; the same one
    again ends it at once. Errors wait for them, too; one is that an endpoint leaves `max_failures` requests in a row
    without a reply.
    """
    stopping = asyncio.Event()
    asked = Asked()
    with suppress(asyncio.CancelledError), _stopped_by_signals(stopping, asked, console):
        asker = _Asker(replies, totals, max_failures, stopping, asked)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(shown(totals, console))
            workers = []
            for annotator, questions in due:
                endpoint = await stack.enter_async_context(Endpoint(annotator, stopping))
                num_workers = min(annotator.concurrency, totals.num_due)
                workers += [asker.work(endpoint, annotator, questions) for _ in range(num_workers)]
            await asyncio.gather(*workers)
        asker.end()
    return asked


class _Asker:
    """What the workers share: the file of replies, the totals, and what is known of each endpoint."""

    def __init__(
        self, replies: Replies, totals: Totals, max_failures: int, stopping: asyncio.Event, asked: Asked
    ) -> None:
        self._replies, self._totals, self._max_failures = replies, totals, max_failures
        self._stopping, self._asked = stopping, asked
        self._waiting: list[tuple[StoredReply, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._in_row: Counter[str] = Counter()
        self._num_refused: Counter[str] = Counter()
        self._num_read: Counter[Hashable] = Counter()
        self._num_unreadable: Counter[Hashable] = Counter()
        self._doubts: dict[str, EndpointError] = {}

    async def work(self, endpoint: Endpoint, annotator: AnnotatorSpec, queue: Iterator[Due]) -> None:
        """Ask one question after the other until there are no more, or the run stops."""
        for due in queue:
            if self._stopping.is_set():
                return
            try:
                await self._ask(endpoint, annotator, due)
            except RefusedError as error:
                self._refused(due, error)
            except UnansweredError as error:
                self._unanswered(due, error)
            except CurationError as error:
                self._stop(error)

    def end(self) -> None:
        """Stop, if nothing else did, for a model that has refused whatever it was asked."""
        if not self._asked.was_stopped:
            for model in self._doubts:
                self._doubt(model)

    def _doubt(self, model: str) -> None:
        if model not in self._replies.models:
            self._stop(self._doubts[model])

    async def _ask(self, endpoint: Endpoint, annotator: AnnotatorSpec, due: Due) -> None:
        question, totals = due.question, self._totals
        reply = await endpoint.ask(question.rubric.ask(question.text), question.number)
        self._in_row[annotator.name] = 0
        await self._keep(StoredReply.of(question, due.document, reply))
        prompt_tokens, completion_tokens = reply.prompt_tokens or 0, reply.completion_tokens or 0
        totals.num_replies += 1
        totals.prompt_tokens += prompt_tokens
        totals.completion_tokens += completion_tokens
        totals.num_uncounted += None in {reply.prompt_tokens, reply.completion_tokens}
        totals.cost += annotator.cost(prompt_tokens, completion_tokens)
        self._look(question, question.read(reply.text, reply.finish))

    async def _keep(self, reply: StoredReply) -> None:
        """Return when the reply is on disk. Those that come while others are written go together."""
        kept = asyncio.get_running_loop().create_future()
        self._waiting.append((reply, kept))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await asyncio.shield(kept)

    async def _write(self) -> None:
        while self._waiting:
            together, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._replies.append, [reply for reply, _ in together])
            except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
                for _, kept in together:
                    kept.set_exception(error)
            else:
                for _, kept in together:
                    kept.set_result(None)

    def _look(self, question: Question, reading: Reading) -> None:
        """Stop where hardly a reply can be read: to go on would be paid in vain."""
        annotator, rubric = question.annotator, question.rubric
        key = (annotator.name, *rubric.identity)
        self._num_read[key] += 1
        if reading.value is not None:
            return
        self._totals.num_unreadable += 1
        self._num_unreadable[key] += 1
        if self._num_read[key] <= FIRST_REPLIES and self._num_unreadable[key] >= MOST_UNREADABLE:
            self._stop(
                EndpointError(
                    f"annotator.{annotator.name}: {self._num_unreadable[key]} of the first {self._num_read[key]} "
                    f"replies of {annotator.model!r} under the rubric {rubric.name!r} cannot be read; of the last one "
                    f"{reading.problem}. They are in failures.jsonl. Raise max_tokens, or change the model or the "
                    "rubric."
                )
            )

    def _refused(self, due: Due, error: RefusedError) -> None:
        """A text that is refused is asked about again by the next run, and stops none that has ever had a reply."""
        annotator = due.question.annotator
        self._note(due, error)
        self._in_row[annotator.name] = 0
        self._num_refused[annotator.name] += 1
        self._doubts[annotator.model] = error.for_all
        if self._num_refused[annotator.name] >= _MOST_REFUSED * annotator.concurrency:
            self._doubt(annotator.model)

    def _unanswered(self, due: Due, error: UnansweredError) -> None:
        if self._stopping.is_set():
            return
        annotator = due.question.annotator
        self._note(due, error)
        self._in_row[annotator.name] += 1
        if self._in_row[annotator.name] >= self._max_failures:
            self._stop(
                EndpointError(
                    f"annotator.{annotator.name}: {self._in_row[annotator.name]} requests in a row got no reply, the "
                    f"last one from {annotator.base_url} for {annotator.model!r} {error}. See to the endpoint, then "
                    "start the same command again; max_failures says how many are borne."
                )
            )

    def _note(self, due: Due, error: UnansweredError) -> None:
        self._asked.unanswered[due.question.key] = str(error)
        self._totals.num_unanswered += 1

    def _stop(self, error: CurationError) -> None:
        self._asked.error = self._asked.error or error
        self._stopping.set()


@contextmanager
def _stopped_by_signals(stopping: asyncio.Event, asked: Asked, console: Console) -> Iterator[None]:
    """In the block a signal asks for an end, and the same one again makes it."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    seen: set[int] = set()

    def stop(number: int) -> None:
        if number in seen and task:
            task.cancel()
        elif not seen:
            console.print("Stopping when the requests in flight have their replies; the same signal stops at once.")
        seen.add(number)
        asked.was_stopped = True
        stopping.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

"""All questions that are due, asked at once as far as each endpoint allows."""

import asyncio
import signal
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress

from rich.console import Console

from curation.annotation.endpoint import AnnotatorSpec, Endpoint, UnansweredError
from curation.annotation.plan import Due
from curation.annotation.progress import Totals, shown
from curation.annotation.replies import Replies, StoredReply
from curation.core.errors import CurationError, EndpointError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Asked:
    """What came of it: `unanswered`, the reason by key; and whether a signal stopped it before all was asked."""

    def __init__(self) -> None:
        self.unanswered: dict[str, str] = {}
        self.was_stopped = False


async def ask_all(
    due: Mapping[AnnotatorSpec, Iterator[Due]], replies: Replies, totals: Totals, max_failures: int, console: Console
) -> Asked:
    """Ask, and keep every reply before it counts.

    SIGINT and SIGTERM end it when the requests in flight have their replies, for these are paid; a second one at once.
    Raises EndpointError when an endpoint cannot be used, or `max_failures` requests got no reply; ShardError when
    replies cannot be kept. The requests in flight are waited for then, too.
    """
    stopping = asyncio.Event()
    asked = Asked()
    with suppress(asyncio.CancelledError), _stopped_by_signals(stopping, asked, console):
        asker = _Asker(replies, totals, max_failures, stopping, asked)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(shown(totals, console))
            workers = []
            for annotator, questions in due.items():
                endpoint = await stack.enter_async_context(Endpoint(annotator, stopping))
                num_workers = min(annotator.concurrency, totals.num_due)
                workers += [asker.work(endpoint, annotator, questions) for _ in range(num_workers)]
            await asyncio.gather(*workers)
        if asker.error:
            raise asker.error
    return asked


class _Asker:
    """What the workers share: the file of replies, the totals, and the first error."""

    def __init__(
        self, replies: Replies, totals: Totals, max_failures: int, stopping: asyncio.Event, asked: Asked
    ) -> None:
        self._replies, self._totals, self._max_failures = replies, totals, max_failures
        self._stopping, self._asked = stopping, asked
        self._waiting: list[tuple[StoredReply, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self.error: CurationError | None = None

    async def work(self, endpoint: Endpoint, annotator: AnnotatorSpec, queue: Iterator[Due]) -> None:
        """Ask one question after the other until there are no more, or the run stops."""
        for due in queue:
            if self._stopping.is_set():
                return
            try:
                await self._ask(endpoint, annotator, due)
            except UnansweredError as error:
                self._note(due, error)
            except CurationError as error:
                self._stop(error)

    async def _ask(self, endpoint: Endpoint, annotator: AnnotatorSpec, due: Due) -> None:
        question = due.question
        proven = annotator.model in self._replies.models
        reply = await endpoint.ask(question.rubric.ask(question.text), question.number, proven=proven)
        await self._keep(StoredReply.of(question, due.document, reply))
        self._totals.num_replies += 1
        self._totals.prompt_tokens += reply.prompt_tokens
        self._totals.completion_tokens += reply.completion_tokens
        self._totals.cost += annotator.cost(reply.prompt_tokens, reply.completion_tokens)

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

    def _note(self, due: Due, error: UnansweredError) -> None:
        if self._stopping.is_set():
            return
        self._asked.unanswered[due.question.key] = str(error)
        self._totals.num_failed += 1
        if self._totals.num_failed >= self._max_failures:
            annotator = due.question.annotator
            self._stop(
                EndpointError(
                    f"{self._totals.num_failed} requests got no reply, the last one from {annotator.base_url} for "
                    f"{annotator.model!r} {error}. See to the endpoint, then start the same command again; "
                    "max_failures says how many are borne."
                )
            )

    def _stop(self, error: CurationError) -> None:
        self.error = self.error or error
        self._stopping.set()


@contextmanager
def _stopped_by_signals(stopping: asyncio.Event, asked: Asked, console: Console) -> Iterator[None]:
    """In the block the first signal asks for an end, and the second one makes it."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def stop() -> None:
        if asked.was_stopped and task:
            task.cancel()
        else:
            console.print("Stopping when the requests in flight have their replies; a second signal stops at once.")
        asked.was_stopped = True
        stopping.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

"""An OpenAI-compatible endpoint: asked politely, and never trusted to answer well.

The client's own retries are switched off. They give up where Retry-After is above two minutes, let the other requests
run into the same limit meanwhile, bound the time between two packets rather than that of a request, and take a body
that is cut off, or no chat completion, for the caller's affair (openai 3.54, `_base_client.py`, `_response.py`).
"""

import asyncio
import email.utils
import math
import os
import random
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from curation.core.errors import ConfigError, CurationError, EndpointError
from curation.core.fingerprint import canonical_json
from curation.core.words import can_name_folder

LONGEST_WAIT_S = 600.0
"""An endpoint that asks to be left alone for longer, or answers nothing for so long but that it should be asked later,
ends the run, which goes on when it is started again."""

_FIRST_WAIT_S, _MOST_WAIT_S, _MOST_DOUBLINGS = 0.5, 30.0, 10
_COME_AGAIN = {408, 409, 425, 429}
_LIMITS = {429, 503}
_PERHAPS_THIS_TEXT = {400, 413, 422}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY = re.compile(r"[!-~]*")
_SHORTEST_SECRET = 8
_NO_KEY = "none"
_MOST_TOKENS = 1 << 31
_SET_ELSEWHERE = {"model", "messages", "temperature", "max_tokens", "seed", "n", "stream"}
_ADVICE = {
    401: "Check the key in the variable that api_key_env names",
    402: "Check the account",
    403: "Check what the key may do",
    404: "Check base_url, which usually ends in /v1, and model",
}


@dataclass(frozen=True)
class AnnotatorSpec:
    """An `[[annotator]]` table: a model behind an OpenAI-compatible endpoint, and how it is asked.

    `api_key_env` names the variable of the environment that holds the key; "" where none is needed. `concurrency`:
    requests in flight. `timeout_s`: of one try. `seed`: of the first round, the next ones count on. `input_price`,
    `output_price`: of a million tokens, in any currency; 0 where nobody asks. `extra_body`: further fields of a
    request, as the endpoint names them; with a ``max_completion_tokens`` there `max_tokens` is not sent.
    """

    name: str
    model: str
    base_url: str
    api_key_env: str = ""
    concurrency: int = 32
    timeout_s: float = 120.0
    max_retries: int = 8
    temperature: float = 0.0
    max_tokens: int = 512
    seed: int = 0
    input_price: float = 0.0
    output_price: float = 0.0
    extra_body: tuple[tuple[str, Any], ...] = ()

    def mistakes(self) -> list[str]:
        """What is wrong with the settings, or missing in the environment; no request is made."""
        found = [] if can_name_folder(self.name) else ["name: letters, digits, dots, hyphens and underscores only."]
        if not self.model:
            found.append("model: is empty; name it as the endpoint does.")
        address = urlsplit(self.base_url)
        if address.scheme not in {"http", "https"} or not address.hostname:
            found.append('base_url: is no address such as "http://localhost:8000/v1".')
        elif address.username or address.password or address.query:
            found.append("base_url: holds credentials or a query; leave them out, and name a variable in api_key_env.")
        found += self._key_mistakes()
        lowest = {"concurrency": 1, "max_retries": 0, "temperature": 0, "max_tokens": 1, "input_price": 0}
        for setting, least in {**lowest, "output_price": 0}.items():
            if not least <= getattr(self, setting) < math.inf:
                found.append(f"{setting}: {getattr(self, setting)} is not a number from {least} on.")
        if not 0 < self.timeout_s < math.inf:
            found.append(f"timeout_s: {self.timeout_s:g} is not a number above 0.")
        return [f"annotator.{self.name}.{mistake}" for mistake in [*found, *self._extra_mistakes()]]

    def _key_mistakes(self) -> list[str]:
        if self.api_key_env and not _VARIABLE.fullmatch(self.api_key_env):
            return ["api_key_env: names a variable of the environment, not the key itself."]
        if self.api_key_env and not self._key():
            return [f"api_key_env: the environment has no {self.api_key_env}; export the key under that name."]
        if not _KEY.fullmatch(self._key()):
            return [f"api_key_env: what {self.api_key_env} holds is no key; it has blanks, or letters beyond ASCII."]
        return []

    def _extra_mistakes(self) -> list[str]:
        extra = dict(self.extra_body)
        if taken := sorted(_SET_ELSEWHERE & set(extra)):
            return [f"extra_body: {', '.join(taken)} is no further field; this package sets it."]
        try:
            canonical_json(extra)
        except (TypeError, ValueError) as error:
            return [f"extra_body: cannot be sent as JSON: {error}."]
        return []

    def parameters(self, number: int) -> dict[str, Any]:
        """What a request of one round says beside model and prompt."""
        own = {"temperature": self.temperature, "max_tokens": self.max_tokens, "seed": self.seed + number}
        extra = dict(self.extra_body)
        if "max_completion_tokens" in extra:
            del own["max_tokens"]
        return own | extra

    @property
    def longest_reply(self) -> int:
        """The most tokens of a reply."""
        most = self.parameters(0).get("max_completion_tokens", self.max_tokens)
        return most if type(most) is int else self.max_tokens

    def cost(self, prompt_tokens: float, completion_tokens: float) -> float:
        """What so many tokens cost."""
        return (prompt_tokens * self.input_price + completion_tokens * self.output_price) / 1e6

    def _key(self) -> str:
        return os.environ.get(self.api_key_env, "").strip() if self.api_key_env else ""


class Reply(NamedTuple):
    """What a model answered: the text, why it ended, and tokens as the endpoint counts them (None: it does not)."""

    text: str
    finish: str
    prompt_tokens: int | None
    completion_tokens: int | None


class UnansweredError(CurationError):
    """One request that got no reply, after all tries; its document is tried again by the next run."""


class RefusedError(UnansweredError):
    """A request that was refused as wrong: for its text, or `for_all`, where the endpoint takes none."""

    def __init__(self, message: str, for_all: EndpointError) -> None:
        super().__init__(message)
        self.for_all = for_all


class Endpoint:
    """One annotator's connections, inside an ``async with`` block.

    `stopping` ends every wait: what is asked after that, or waits to be asked again, stays unanswered.
    """

    def __init__(self, spec: AnnotatorSpec, stopping: asyncio.Event) -> None:
        from openai import AsyncOpenAI

        self._spec, self._stopping = spec, stopping
        self._key = spec._key()  # noqa: SLF001 - the key leaves the spec nowhere else
        self._client = AsyncOpenAI(
            api_key=self._key or _NO_KEY, base_url=spec.base_url, max_retries=0, timeout=spec.timeout_s
        )
        # What the client takes from the environment is meant for another endpoint.
        self._client.organization = self._client.project = None
        self._client._custom_headers = {}  # noqa: SLF001 - the client offers no other way
        self._open_at = 0.0
        self._heard_at = time.monotonic()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._client.close()

    async def ask(self, prompt: str, number: int) -> Reply:
        """The reply to a prompt in round `number`, after as many tries as it takes and the spec allows.

        To be asked to come again later uses up no try. Raises UnansweredError when there is no reply, RefusedError when
        the request is wrong, EndpointError when there will never be a reply: the key, the address, the model.
        """
        import openai

        attempt = tries = 0
        while True:
            while (wait_s := self._open_at - time.monotonic()) > 0 or self._stopping.is_set():
                await self._pause(wait_s + _scattered(0))
            asked_s: float | None = None
            tries += 1
            try:
                async with asyncio.timeout(self._spec.timeout_s):
                    reply = self._reply(await self._complete(prompt, number))
                    self._heard_at = time.monotonic()
                    return reply
            except openai.APIStatusError as error:
                problem = self._refused(error)
                asked_s = self._asked_to_wait(error.response.headers)
                if asked_s is not None and error.status_code in _LIMITS:
                    self._check_heard(problem)
                    tries -= 1
            except (TimeoutError, openai.APITimeoutError):
                problem = f"no reply within {self._spec.timeout_s:g} s"
            except openai.APIConnectionError as error:
                problem = f"the connection failed: {type(error.__cause__ or error).__name__}"
            except (openai.APIError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
                problem = self._cleaned(f"what came is no chat completion: {error}")
            if tries > self._spec.max_retries:
                raise UnansweredError(f"after {f'{tries} tries' if tries > 1 else 'one try'}: {problem}")
            await self._pause((asked_s or 0.0) + _scattered(attempt))
            attempt += 1

    async def _complete(self, prompt: str, number: int) -> Any:
        messages: Any = [{"role": "user", "content": prompt}]
        parameters = self._spec.parameters(number)
        return await self._client.chat.completions.create(
            model=self._spec.model, messages=messages, extra_body=parameters
        )

    def _reply(self, response: Any) -> Reply:
        """What a response holds, which may be no text: that is paid, too, and another try would bring the same.

        Raises ValueError, LookupError, TypeError or AttributeError when it is no reply.
        """
        choice = response.choices[0]
        text, finish, usage = choice.message.content, choice.finish_reason, getattr(response, "usage", None)
        if not isinstance(text, str) and not (text is None and isinstance(finish, str)):
            raise ValueError("it has no text")
        said, end = (_storable(self._without_key(each)) for each in (text or "", str(finish or "")))
        return Reply(said, end, *map(count, _tokens(usage)))

    def _refused(self, error: Any) -> str:
        """What an HTTP status says, when another try may help. Raises the error that it is when none would."""
        status = error.status_code
        said = self._cleaned(str(error.message))
        if status >= 500 or status in _COME_AGAIN:
            return f"HTTP {status}: {said}"
        advice = _ADVICE.get(status, "Check model, max_chars, max_tokens and what else this endpoint takes")
        for_all = EndpointError(
            f"annotator.{self._spec.name}: {self._spec.base_url} refuses requests for {self._spec.model!r} with HTTP "
            f"{status}: {said.rstrip('.')}. {advice}, then start the same command again."
        )
        if status in _PERHAPS_THIS_TEXT:
            raise RefusedError(f"refused with HTTP {status}: {said}", for_all)
        raise for_all

    def _asked_to_wait(self, headers: Mapping[str, str]) -> float | None:
        """The seconds of Retry-After, which hold for all requests to this endpoint. Raises EndpointError for hours."""
        wait_s = _retry_after(headers)
        if wait_s is None:
            return None
        if wait_s > LONGEST_WAIT_S:
            raise EndpointError(
                f"annotator.{self._spec.name}: {self._spec.base_url} asks not to be asked again for {wait_s:,.0f} s. "
                "Start the same command again then; what was paid is kept."
            )
        self._open_at = max(self._open_at, time.monotonic() + wait_s)
        return wait_s

    def _check_heard(self, problem: str) -> None:
        """Raise EndpointError when no request has had a reply for too long."""
        if time.monotonic() - self._heard_at > LONGEST_WAIT_S:
            raise EndpointError(
                f"annotator.{self._spec.name}: {self._spec.base_url} has answered nothing for {LONGEST_WAIT_S:,.0f} s "
                f"but {problem}. Lower concurrency, or start the same command again later; what was paid is kept."
            )

    async def _pause(self, wait_s: float) -> None:
        """Wait. Raises UnansweredError as soon as the run is stopping."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), max(wait_s, 0))
        if self._stopping.is_set():
            raise UnansweredError("the run was stopped")

    def _cleaned(self, message: str) -> str:
        """A message of an endpoint as one short line without the key."""
        return " ".join(self._without_key(message).split())[:300]

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "…") if len(self._key) >= _SHORTEST_SECRET else text


def check_installed() -> None:
    """Raise ConfigError unless the client is there."""
    try:
        import openai  # noqa: F401
    except ImportError:
        raise ConfigError("annotator: the package openai is not installed; run pip install '.[annotate]'.") from None


def count(value: object) -> int | None:
    """A number of tokens as an endpoint says it; None when that is no number of tokens."""
    return value if type(value) is int and 0 <= value < _MOST_TOKENS else None


def _tokens(usage: object) -> tuple[object, object]:
    return getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)


def _storable(text: str) -> str:
    """A text without halves of surrogate pairs, which can be in JSON, but in no file."""
    return text.encode(errors="replace").decode()


def _scattered(attempt: int) -> float:
    """Seconds before the next try: longer after each one, and different, so that not all come at the same instant."""
    wait_s: float = min(_FIRST_WAIT_S * 2 ** min(attempt, _MOST_DOUBLINGS), _MOST_WAIT_S)
    return wait_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a response asks to wait, from milliseconds, seconds or a date; None when it asks for nothing."""
    for header, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        with suppress(KeyError, ValueError):
            return max(float(headers[header]) * unit_s, 0.0)
    with suppress(KeyError, ValueError, TypeError):
        return max(email.utils.parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time(), 0.0)
    return None

"""An OpenAI-compatible endpoint: asked politely, and never trusted to answer well.

The client's own retries are switched off. They give up where Retry-After is above two minutes, let the other requests
run into the same limit meanwhile, bound the time between two packets rather than that of a request, and take a body
that is cut off, or no chat completion, for the caller's affair (openai 3.54, `_base_client.py`, `_response.py`).
"""

import asyncio
import email.utils
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

LONGEST_WAIT_S = 600.0
"""An endpoint that asks to be left alone for longer ends the run, which goes on when it is started again."""

_FIRST_WAIT_S, _MOST_WAIT_S = 0.5, 30.0
_COME_AGAIN = {408, 409, 425, 429}
_PERHAPS_THIS_TEXT = {400, 413, 422}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHORTEST_SECRET = 8
_NO_KEY = "none"
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
    `output_price`: of a million tokens, in any currency; 0 where nobody asks.
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

    def mistakes(self) -> list[str]:
        """What is wrong with the settings, or missing in the environment; no request is made."""
        found = [] if _NAME.fullmatch(self.name) else ["name: letters, digits, dots, hyphens and underscores only."]
        if not self.model:
            found.append("model: is empty; name it as the endpoint does.")
        address = urlsplit(self.base_url)
        if address.scheme not in {"http", "https"} or not address.hostname:
            found.append('base_url: is no address such as "http://localhost:8000/v1".')
        elif address.username or address.password or address.query:
            found.append("base_url: holds credentials or a query; leave them out, and name a variable in api_key_env.")
        if self.api_key_env and not _VARIABLE.fullmatch(self.api_key_env):
            found.append("api_key_env: names a variable of the environment, not the key itself.")
        elif self.api_key_env and not self._key():
            found.append(f"api_key_env: the environment has no {self.api_key_env}; export the key under that name.")
        lowest = {"concurrency": 1, "max_retries": 0, "temperature": 0, "max_tokens": 1, "input_price": 0}
        for setting, least in {**lowest, "output_price": 0}.items():
            if getattr(self, setting) < least:
                found.append(f"{setting}: {getattr(self, setting)} is below {least}.")
        if self.timeout_s <= 0:
            found.append(f"timeout_s: {self.timeout_s:g} is not above 0.")
        return [f"annotator.{self.name}.{mistake}" for mistake in found]

    def parameters(self, number: int) -> dict[str, Any]:
        """What a request of one round says beside model and prompt."""
        return {"temperature": self.temperature, "max_tokens": self.max_tokens, "seed": self.seed + number}

    def cost(self, prompt_tokens: float, completion_tokens: float) -> float:
        """What so many tokens cost."""
        return (prompt_tokens * self.input_price + completion_tokens * self.output_price) / 1e6

    def _key(self) -> str:
        return os.environ.get(self.api_key_env, "").strip() if self.api_key_env else ""


class Reply(NamedTuple):
    """What a model answered: the text, why it ended, and tokens as the endpoint counts them (0: it does not)."""

    text: str
    finish: str
    prompt_tokens: int
    completion_tokens: int


class UnansweredError(CurationError):
    """One request that got no reply, after all tries; its document is tried again by the next run."""


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
        self._open_at = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._client.close()

    async def ask(self, prompt: str, number: int, *, proven: bool) -> Reply:
        """The reply to a prompt in round `number`, after as many tries as it takes and the spec allows.

        Raises UnansweredError when there is none, EndpointError when there will never be one: the key, the address, the
        model. A request that is refused as wrong is the endpoint's or the config's affair while no reply has ever come
        from there, and this document's (too long, perhaps) once the endpoint is `proven`.
        """
        import openai

        for attempt in range(self._spec.max_retries + 1):
            while (wait_s := self._open_at - time.monotonic()) > 0 or self._stopping.is_set():
                await self._pause(wait_s)
            wait_s = min(_FIRST_WAIT_S * 2**attempt, _MOST_WAIT_S) * random.uniform(0.75, 1.0)  # noqa: S311 - no secret
            try:
                async with asyncio.timeout(self._spec.timeout_s):
                    return self._reply(await self._complete(prompt, number))
            except openai.APIStatusError as error:
                problem = self._refused(error, proven=proven)
                wait_s = self._asked_to_wait(error.response.headers) or wait_s
            except (TimeoutError, openai.APITimeoutError):
                problem = f"no reply within {self._spec.timeout_s:g} s"
            except openai.APIConnectionError as error:
                problem = f"the connection failed: {type(error.__cause__ or error).__name__}"
            except (openai.APIError, ValueError, LookupError, TypeError, AttributeError) as error:
                problem = self._cleaned(f"what came is no chat completion: {error}")
            if attempt < self._spec.max_retries:
                await self._pause(wait_s)
        tries = f"{self._spec.max_retries + 1} tries" if self._spec.max_retries else "one try"
        raise UnansweredError(f"after {tries}: {problem}")

    async def _complete(self, prompt: str, number: int) -> Any:
        messages: Any = [{"role": "user", "content": prompt}]
        parameters: Any = self._spec.parameters(number)
        return await self._client.chat.completions.create(model=self._spec.model, messages=messages, **parameters)

    def _reply(self, response: Any) -> Reply:
        """What a response holds. Raises ValueError, LookupError, TypeError or AttributeError when it is no reply."""
        choice = response.choices[0]
        text, finish, usage = choice.message.content or "", choice.finish_reason or "", response.usage
        if not isinstance(text, str) or not (text or finish == "length"):
            raise ValueError("it has no text")
        tokens = (usage.prompt_tokens or 0, usage.completion_tokens or 0) if usage else (0, 0)
        whole = text.encode(errors="replace").decode()  # half of a surrogate pair can be in JSON, but in no file
        return Reply(self._without_key(whole), finish, *tokens)

    def _refused(self, error: Any, *, proven: bool) -> str:
        """What an HTTP status says, when another try may help. Raises the error that it is when none would."""
        status = error.status_code
        said = self._cleaned(str(error.message))
        if status >= 500 or status in _COME_AGAIN:
            return f"HTTP {status}: {said}"
        if status in _PERHAPS_THIS_TEXT and proven:
            raise UnansweredError(f"refused with HTTP {status}: {said}")
        advice = _ADVICE.get(status, "Check model, max_chars, max_tokens and what else this endpoint takes")
        raise EndpointError(
            f"annotator.{self._spec.name}: {self._spec.base_url} refuses requests for {self._spec.model!r} with HTTP "
            f"{status}: {said.rstrip('.')}. {advice}, then start the same command again."
        )

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


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a response asks to wait, from milliseconds, seconds or a date; None when it asks for nothing."""
    for header, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        with suppress(KeyError, ValueError):
            return max(float(headers[header]) * unit_s, 0.0)
    with suppress(KeyError, ValueError, TypeError):
        return max(email.utils.parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time(), 0.0)
    return None

"""An OpenAI-compatible endpoint on this machine that answers as it is told, and misbehaves as it is told."""

import json
import re
import threading
import time
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DOCUMENT = re.compile(r"<(document-[0-9a-f]+)>\n(.*)\n</\1>", re.DOTALL)


def completion(text, finish="stop", tokens=(100, 20)):
    """The body of a chat completion."""
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}
    return {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}


class StandInEndpoint:
    """Serves at `url` while its `with` block lasts.

    `answer` is a function (text of the document, body of the request) → reply or a whole body. `faults` maps a text to
    what happens to its next requests, each once: a status, (status, headers), "hang", "cut", or (200, headers, bytes).
    `always` happens to every request. `asked` counts requests by text, `answered` replies that were sent whole.
    """

    def __init__(self, answer=lambda _text, _body: "Educational score: 3"):
        self.answer = answer
        self.faults = defaultdict(list)
        self.always = None
        self.asked, self.answered = Counter(), Counter()
        self.bodies, self.keys, self.times, self.headers = [], set(), [], set()
        self.most_at_once = self.at_once = 0
        self.hold = threading.Event()
        self.hold.set()
        self.stopping = threading.Event()
        self.lock = threading.Lock()

    def __enter__(self):
        handler = type("Handler", (_Handler,), {"endpoint": self})
        self.server = _Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.hold.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 64
    daemon_threads = True

    def handle_error(self, *_):
        """Clients that leave in the middle are what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    endpoint = None

    def log_message(self, *_):
        """Stay quiet."""

    def do_POST(self):
        endpoint = self.endpoint
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = DOCUMENT.search(body["messages"][-1]["content"])[2]
        with endpoint.lock:
            endpoint.asked[text] += 1
            endpoint.bodies.append(body)
            endpoint.times.append(time.monotonic())
            endpoint.keys.add(self.headers.get("Authorization"))
            endpoint.headers |= {name.lower() for name in self.headers}
            endpoint.at_once += 1
            endpoint.most_at_once = max(endpoint.most_at_once, endpoint.at_once)
            fault = endpoint.always or (endpoint.faults[text].pop(0) if endpoint.faults[text] else None)
        try:
            endpoint.hold.wait()
            self._answer(text, body, fault)
        finally:
            with endpoint.lock:
                endpoint.at_once -= 1

    def _answer(self, text, body, fault):
        if fault == "hang":
            self.endpoint.stopping.wait()
            return
        if isinstance(fault, int):
            fault = (fault, {})
        if fault and fault != "cut":
            status, headers, *data = fault
            said = json.dumps({"error": {"message": f"no ({self.headers.get('Authorization')})"}}).encode()
            self._send(status, data[0] if data else said, headers)
            return
        answer = self.endpoint.answer(text, body)
        data = json.dumps(completion(answer) if isinstance(answer, str) else answer).encode()
        if fault == "cut":
            data = data[: len(data) // 2]
        else:
            with self.endpoint.lock:
                self.endpoint.answered[text] += 1
        self._send(200, data, {})

    def _send(self, status, data, headers):
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

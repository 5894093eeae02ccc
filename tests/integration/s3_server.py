"""An S3 server of moto's on this machine, and a proxy before it that remembers what was asked."""

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import moto.settings
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

KEY, SECRET = "AKIAOFTHISTESTALONE0", "s3cr3t+of/this+test+alone"


@dataclass
class Store:
    """Where it is, and every request that reached it: method, path, query and bytes of the answer."""

    url: str = ""
    requests: list = field(default_factory=list)
    interruptions: dict = field(default_factory=dict)

    def interrupt(self, path, function):
        """Call a function of the WSGI environ once, when the next PUT to this path has begun."""
        self.interruptions[path] = function

    def ask_who(self, asks):
        """Whether it asks who calls; it knows nobody."""
        moto.settings.INITIAL_NO_AUTH_ACTION_COUNT = 0 if asks else float("inf")

    def environ(self):
        """What tells this package, and every process that it starts, where the store is and who asks."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "2",
        }


@contextmanager
def serving():
    """A store while the block runs."""
    store = Store()
    answer = DomainDispatcherApplication(create_backend_app)

    def watched(environ, start_response):
        query = parse_qs(environ["QUERY_STRING"], keep_blank_values=True)

        def start(status, headers, *rest):
            num_bytes = int(dict(headers).get("Content-Length", 0)) if environ["REQUEST_METHOD"] == "GET" else 0
            store.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"], query, num_bytes, int(status[:3])))
            return start_response(status, headers, *rest)

        if environ["REQUEST_METHOD"] == "PUT" and (interrupt := store.interruptions.pop(environ["PATH_INFO"], None)):
            interrupt(environ)
        return answer(environ, start)

    server = make_server("127.0.0.1", 0, watched, threaded=True)
    thread = threading.Thread(target=server.serve_forever, name="s3-server")
    thread.start()
    store.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

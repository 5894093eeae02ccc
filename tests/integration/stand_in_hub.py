"""A hub of a few small repositories on this machine: the part of the real one's HTTP interface that fetching uses.

It lists a repository at a commit (large files with their sha256, small ones with their git blob id), answers HEAD with
the headers that huggingface_hub checks, and redirects downloads of large files as the real one does.
"""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".bin")


class Hub:
    """Serves `publish`ed repositories at `url` while its `with` block lasts, and keeps a log of requests."""

    def __init__(self):
        self.requests = []
        self.tokens = set()
        self.commits = {}
        self.newest = {}
        self.licences = {}
        self.refusals = {}
        self.damaged = set()
        self.sizes = {}
        self.stalled = set()
        self.is_half_sent = threading.Event()
        self.may_go_on = threading.Event()

    def __enter__(self):
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.storage_url = f"http://localhost:{self.server.server_port}"  # another host, as with the real one
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.may_go_on.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def publish(self, model, files, licence="mit"):
        """Add a commit with these files, which becomes the newest; gives its hash."""
        content = {name: bytes(data) for name, data in files.items()}
        digest = hashlib.sha1(repr(sorted(content.items())).encode() + repr(self.newest.get(model)).encode())
        commit = digest.hexdigest()
        self.commits[model, commit] = content
        self.newest[model] = commit
        self.licences[model] = licence
        return commit

    def downloads(self):
        """model/resolve/commit/name of the files that were sent, as often as they were."""
        paths = (path for method, path in self.requests if method == "GET" and "/resolve/" in path)
        return sorted(path.removeprefix("/storage").removeprefix("/") for path in paths)

    def describe(self, model, commit):
        """A repository at a commit, as the hub's API lists it."""
        return {
            "id": model,
            "sha": commit,
            "cardData": {"license": self.licences[model]},
            "siblings": [self._listed(name, data) for name, data in self.commits[model, commit].items()],
        }

    def _listed(self, name, data):
        size = self.sizes.get(name, len(data))
        listed = {"rfilename": name, "size": size, "blobId": git_blob(data)}
        if name.endswith(LARGE):
            listed["lfs"] = {"size": size, "sha256": hashlib.sha256(data).hexdigest(), "pointerSize": 134}
        return listed


def git_blob(data):
    """The id that git gives to a file."""
    return hashlib.sha1(b"blob %d\0%b" % (len(data), data)).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub = None

    def do_GET(self):
        self._answer()

    def do_HEAD(self):
        self._answer()

    def log_message(self, *_):
        """Stay quiet; the hub keeps its own log."""

    def _answer(self):
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path))
        self.hub.tokens.add((self.headers["Host"].partition(":")[0], self.headers.get("authorization", "")))
        parts = path.strip("/").split("/")
        if parts[0] == "api":
            self._describe("/".join(parts[2:4]), parts[5] if len(parts) > 5 else None)
        elif parts[0] == "storage":
            self._send_stored("/".join(parts[1:3]), parts[4], "/".join(parts[5:]))
        else:
            self._resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))

    def _describe(self, model, revision):
        if model in self.hub.refusals:
            status, code = self.hub.refusals[model]
            self._send(status, headers={"X-Error-Code": code} if code else {})
        elif model not in self.hub.newest:
            self._send(404, headers={"X-Error-Code": "RepoNotFound"})
        elif (model, commit := revision or self.hub.newest[model]) not in self.hub.commits:
            self._send(404, headers={"X-Error-Code": "RevisionNotFound"})
        else:
            self._send(200, json.dumps(self.hub.describe(model, commit)).encode())

    def _resolve(self, model, commit, name):
        data = self.hub.commits[model, commit][name]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{git_blob(data)}"'}
        if not name.endswith(LARGE):
            self._send(200, self._served(name, data), headers)
            return
        headers |= {
            "Location": f"{self.hub.storage_url}/storage/{model}/resolve/{commit}/{name}",
            "X-Linked-ETag": f'"{hashlib.sha256(data).hexdigest()}"',
            "X-Linked-Size": str(len(data)),
        }
        self._send(302, b"", headers)

    def _send_stored(self, model, commit, name):
        data = self._served(name, self.hub.commits[model, commit][name])
        if name in self.hub.stalled:
            self._send_half(data)
        else:
            self._send(200, data)

    def _served(self, name, data):
        """The bytes of a file; of a damaged one, as many others."""
        return bytes([data[0] ^ 1]) + data[1:] if name in self.hub.damaged else data

    def _send_half(self, data):
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.wfile.flush()
        self.hub.is_half_sent.set()
        self.hub.may_go_on.wait()
        self.close_connection = True

    def _send(self, status, data=b"", headers=None):
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

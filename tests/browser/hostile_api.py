"""An API whose rows, fields and errors have names that a page must show as text."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

PARTICIPANT = "<img src=x onerror=alert(1)>"
QUEUE = "qu\u0007e\u001b[31mue\u202e\n</script><b>"

CATALOG = """
[dataset.calls]
version = 1
id = "id"
time = "at"
columns = "call"
sums = { media = "participants[].name" }
[dataset.calls.query]
method = "GET"
path = "/calls"
query = { from = "{from}", to = "{to}" }
rows = "/rows"
paging = "none"
[type.call]
id = "string"
at = "timestamp"
participants = "list<participant>"
[type.participant]
name = "string"
"""


class Handler(BaseHTTPRequestHandler):
    """Two days of calls; the third day fails with a hostile text."""

    def log_message(self, *_):
        pass

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.answer(200, {"access_token": "t" * 20, "token_type": "bearer", "expires_in": 3600})

    def do_GET(self):
        query = parse_qs(urlparse(self.path).query)
        begin, end = query["from"][0], query["to"][0]
        if end > "2024-01-03T00:00:01":
            self.answer(400, {"message": f"{PARTICIPANT} {QUEUE} is not served"})
            return
        rows = []
        for day in ("2024-01-01", "2024-01-02"):
            for number in range(6):
                at = f"{day}T{10 + number}:00:00.000Z"
                if begin <= at < end:
                    name = [PARTICIPANT, QUEUE][number % 2]
                    rows.append({"id": at, "at": at, "participants": [{"name": name}], "<b>new": 1})
        self.answer(200, {"rows": rows})


def serve():
    """Serves the API on a free port of this machine until the process ends; returns its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"

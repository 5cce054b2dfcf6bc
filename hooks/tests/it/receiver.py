"""A receiver of webhooks. What it answers is said by the path; each request is told in a line of JSON."""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        told = {"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}, "body": body}
        with lock:
            print(json.dumps(told), flush=True)
        kind = self.path.strip("/").split("/")[0]
        if kind == "slow":
            time.sleep(6)
        if kind == "breaks":
            self.close_connection = True
            self.connection.close()
            return
        status = {"fails": 500, "gone": 410, "moved": 302, "busy": 429}.get(kind, 200)
        answer = ("x" * 5000 if kind == "long" else f"heard at {kind}").encode()
        try:
            self.send_response(status)
            if kind == "moved":
                self.send_header("location", "/ok")
            if kind == "busy":
                self.send_header("retry-after", "3600")
            if kind == "endless":
                self.send_header("content-length", str(1 << 40))
                self.end_headers()
                while True:
                    self.wfile.write(b"x" * 65536)
            if kind == "silent":
                self.send_header("content-length", "5")
                self.end_headers()
                time.sleep(6)
                return
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def do_GET(self):
        with lock:
            print(json.dumps({"path": self.path, "headers": {}, "body": "GET"}), flush=True)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


lock = threading.Lock()
server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 0), Receiver)
print(server.server_address[1], flush=True)
server.serve_forever()

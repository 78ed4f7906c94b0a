"""HTTP/1.1 with keep-alive, server-sent events and a clean stop, on top of the standard library."""

import json
import socket
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer

from errors import BadRequest


class Server(ThreadingTCPServer):
    """Not http.server's own: that one looks up its host's name, which takes seconds without a network."""

    allow_reuse_address = True
    request_queue_size = 128
    # Idle connections must not keep the process; run_until_stopping() waits for those with an open answer.
    daemon_threads = True

    def __init__(self, address, handler):
        super().__init__(address, handler)
        self.stopping = threading.Event()
        self._open_answers = 0
        self._changed = threading.Condition()

    def run_until_stopping(self):
        """Serves until `stopping` is set, then accepts nothing new and returns after the last open answer."""
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.stopping.wait()
        self.shutdown()
        self.server_close()
        with self._changed:
            self._changed.wait_for(lambda: self._open_answers == 0)

    @contextmanager
    def open_answer(self):
        with self._changed:
            self._open_answers += 1
        try:
            yield
        finally:
            with self._changed:
                self._open_answers -= 1
                self._changed.notify_all()

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client may hang up at any time
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Calls `respond()` for every request. It reads the body, always: what is left of one would be taken for
    the next request."""

    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True  # a token goes out when it is there, not with the next one

    def _handle(self):
        with self.server.open_answer():
            self.respond()
            if self.server.stopping.is_set():
                self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _handle

    def log_message(self, *_):
        pass  # whoever runs the agent logs its requests

    def has_hung_up(self):
        try:
            return self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b''
        except BlockingIOError:
            return False  # nothing to read: still there

    def send_json(self, status, body):
        data = json.dumps(body, ensure_ascii=False).encode('utf-8')
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def start_events(self):
        self.send_response(200)
        self.send_header('Content-Type', 'text/event-stream')
        self.send_header('Cache-Control', 'no-cache')
        self.send_header('Transfer-Encoding', 'chunked')
        self.end_headers()

    def send_event(self, data):
        event = ('data: %s\n\n' % data).encode('utf-8')
        self.wfile.write(b'%x\r\n%s\r\n' % (len(event), event))

    def end_events(self):
        self.wfile.write(b'0\r\n\r\n')

    def read_body(self):
        try:
            if self.headers.get('Transfer-Encoding', '').lower() == 'chunked':
                return b''.join(self._read_chunks())
            return self.rfile.read(int(self.headers.get('Content-Length', 0)))
        except ValueError:
            self.close_connection = True  # nobody knows where the next request begins
            raise BadRequest('The length of the body is not readable.') from None

    def _read_chunks(self):
        while True:
            size = int(self.rfile.readline().split(b';')[0], 16)
            if size == 0:
                break
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers

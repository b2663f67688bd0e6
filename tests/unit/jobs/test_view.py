import http.server
import os
import threading

import pytest
import urllib3

from actuary.jobs.cluster import view


class _Watched(http.server.BaseHTTPRequestHandler):
    """Answers as an API server does: a line, then nothing until the other side goes."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"3\r\n{}\n\r\n")
        self.wfile.flush()
        self.rfile.read(1)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def answer():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Watched)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with urllib3.PoolManager() as pool:
        found = pool.request("GET", f"http://127.0.0.1:{server.server_address[1]}/", preload_content=False)
        yield found
        found.close()
    server.shutdown()
    server.server_close()


def watching(answer):
    watch = view._Watch("pods", lambda *_, **__: None, "here", lambda gone, form: None)
    watch._response = answer
    assert answer.read(3) == b"{}\n"
    return watch


def test_who_reads_a_watch_is_let_go_when_it_is_stopped(answer):
    watching(answer).stop()
    with pytest.raises(urllib3.exceptions.HTTPError):
        answer.read(1)


@pytest.mark.parametrize("end", ["closed", "given back", "without a socket"])
def test_a_watch_that_has_just_ended_by_itself_can_be_stopped(answer, end):
    watch = watching(answer)
    if end == "closed":
        answer.close()
    elif end == "given back":
        answer.release_conn()
    else:
        os.close(answer.connection.sock.detach())
    watch.stop()

"""``personaloop serve`` as people start and stop it; no browser needed."""

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from tests.e2e.serving import REPOSITORY, free_port, link_in, serving

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("serve")]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("serve"), pairs=2) as running:
        yield running


def get(served, path="/healthz"):
    return httpx.get(served.url + path, trust_env=False)


def test_health_says_what_is_not_ready(served):
    answer = get(served)
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "not ready",
        "app": "ok",
        "database": "ok",
        "engine": "not running",
    }


def test_health_is_ok_when_the_engine_answers(served):
    class Engine(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/healthz" else 404)
            self.end_headers()
            self.wfile.write(b'{"status": "ok"}')

        def log_message(self, *_):
            pass

    engine = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    threading.Thread(target=engine.serve_forever, daemon=True).start()
    note = served.outputs / "engine" / "engine.json"
    note.parent.mkdir(exist_ok=True)
    url = f"http://127.0.0.1:{engine.server_port}"
    note.write_text(json.dumps({"url": url, "key": "tml-x", "pid": 1, "base_model": "b"}))
    try:
        answer = get(served)
        assert (answer.status_code, answer.json()["status"]) == (200, "ok")
        engine.shutdown()
        engine.server_close()
        assert get(served).status_code == 503
    finally:
        note.unlink()


def test_answers_carry_security_headers_and_no_cache(served):
    for path in ("/healthz", "/", "/invite/nonsense"):
        headers = get(served, path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "same-origin"


def test_a_wrong_invite_is_a_kind_page(served):
    answer = get(served, "/invite/nonsense")
    assert answer.status_code == 410
    assert "ask for a new one" in answer.text
    assert "Traceback" not in answer.text


def test_the_owner_gets_a_new_link_at_each_start(served):
    link = link_in(served.lines)
    answer = httpx.get(link, trust_env=False)
    assert answer.status_code == 303
    served.stop()
    assert served.process.returncode == 0
    begin = time.monotonic()
    served.start_again()
    assert time.monotonic() - begin < 30, "10 s on an idle machine; this one may be busy"
    assert link_in(served.lines) != link


def test_a_taken_port_is_one_clear_line(served):
    done = subprocess.run(
        [sys.executable, "-m", "personaloop", "serve", "--port", str(served.port)],
        env=served.env, cwd=REPOSITORY, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"port {served.port} on 127.0.0.1 is taken" in done.stderr
    assert "--port" in done.stderr
    assert done.stderr.count("\n") == 1


def test_stopping_frees_the_port_and_leaves_no_process(tmp_path):
    with serving(tmp_path, pairs=1) as running:
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(running.process.pid)],
            capture_output=True, text=True,
        ).stdout.split()  # fmt: skip
        assert children
        running.stop(signal.SIGINT)
        assert running.process.returncode == 0
        for pid in children:
            with pytest.raises(ProcessLookupError):
                os.kill(int(pid), 0)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", running.port))


def test_a_database_that_cannot_be_opened_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    done = subprocess.run(
        [
            sys.executable, "-m", "personaloop", "serve", "--port", str(free_port()),
            "--no-engine", "--no-worker", "--database-url", f"sqlite:///{tmp_path}/file/x.db",
        ],
        env={**os.environ, "PERSONALOOP_OUTPUTS": str(tmp_path / "out")},
        cwd=REPOSITORY, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "cannot open the database" in done.stderr
    assert "Traceback" not in done.stderr

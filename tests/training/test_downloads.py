"""Downloads of an export: whole or refused, nothing outside the folder, no address in an error."""

import base64
import hashlib
import json
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from training.downloads import check_whole, download_external
from training.errors import AdapterDamaged, ServiceGone

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def tensors(data: bytes = b"\0" * 64) -> bytes:
    header = json.dumps({"a": {"dtype": "F32", "shape": [16], "data_offsets": [0, len(data)]}})
    return struct.pack("<Q", len(header)) + header.encode() + data


class Server(ThreadingHTTPServer):
    """Answers from a script: one entry a request, the last one for ever."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[tuple[int, dict[str, str], bytes]] = []
        self.asked: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def urls(self):
        base = f"http://127.0.0.1:{self.server_address[1]}/secret-token"
        return {WEIGHTS: f"{base}/{WEIGHTS}", CONFIG: f"{base}/{CONFIG}"}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.headers.get("Range", ""))
        script = self.server.script
        status, headers, body = script.pop(0) if len(script) > 1 else script[0]
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args): ...


@pytest.fixture
def server():
    made = Server()
    yield made
    made.shutdown()
    made.server_close()


def test_names_come_from_us_and_never_from_the_service(server, tmp_path):
    server.script = [(200, {}, tensors())]
    into = tmp_path / "into"
    into.mkdir()
    download_external({**server.urls, "../evil": "http://127.0.0.1:1/x"}, into, [WEIGHTS])
    assert [path.name for path in into.iterdir()] == [WEIGHTS]
    assert list(tmp_path.iterdir()) == [into]


def test_a_cut_answer_is_gone_on_with_and_a_server_that_cannot_is_begun_anew(server, tmp_path):
    whole = tensors()
    part = {"content-length": str(len(whole))}
    rest = {"content-range": f"bytes 40-{len(whole) - 1}/{len(whole)}"}
    server.script = [(200, part, whole[:40]), (206, rest, whole[40:])]
    download_external(server.urls, tmp_path, [WEIGHTS], pause=0.01)
    assert (tmp_path / WEIGHTS).read_bytes() == whole
    assert server.asked == ["", "bytes=40-"]
    (tmp_path / WEIGHTS).unlink()
    server.script = [(200, part, whole[:40]), (200, {}, whole)]
    download_external(server.urls, tmp_path, [WEIGHTS], pause=0.01)
    assert (tmp_path / WEIGHTS).read_bytes() == whole


def test_a_wrong_checksum_is_fetched_again_and_then_refused_without_the_address(server, tmp_path):
    good = base64.b64encode(hashlib.md5(tensors()).digest()).decode()
    server.script = [
        (200, {"x-goog-hash": f"crc32c=AAAAAA==,md5={good}"}, tensors(b"\1" * 64)),
        (200, {"x-goog-hash": f"crc32c=AAAAAA==,md5={good}"}, tensors()),
    ]
    download_external(server.urls, tmp_path, [WEIGHTS], pause=0.01)
    assert (tmp_path / WEIGHTS).read_bytes() == tensors()
    server.script = [(200, {"content-md5": good}, tensors(b"\1" * 64))]
    with pytest.raises(ServiceGone, match="in 6 attempts: its checksum differs") as caught:
        download_external(server.urls, tmp_path, [WEIGHTS], pause=0.001)
    assert "secret-token" not in str(caught.value)


def test_patience_is_what_the_server_asks_for_and_stale_addresses_are_asked_again(server, tmp_path):
    server.script = [(429, {"retry-after": "0.2"}, b""), (403, {}, b""), (200, {}, tensors())]
    asked = []

    def urls():
        asked.append(1)
        return server.urls

    download_external(urls, tmp_path, [WEIGHTS], pause=0.001)
    assert len(asked) == 2 and len(server.asked) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tensors()[:-1], "bytes, wanted"),
        (tensors() + b"x", "bytes, wanted"),
        (b"<html>no</html>", "no safetensors file"),
        (struct.pack("<Q", 1 << 40) + b"{}", "no safetensors file"),
        (struct.pack("<Q", 2) + b"{}", "bytes, wanted"),
        (struct.pack("<Q", 2) + b"[]", "no safetensors file"),
        (b"", "no safetensors file"),
    ],
)
def test_weights_that_are_not_whole_are_refused(tmp_path, content, message):
    path = tmp_path / WEIGHTS
    path.write_bytes(content)
    with pytest.raises(AdapterDamaged, match=message):
        check_whole(path)


@pytest.mark.parametrize(
    ("urls", "message"),
    [
        ({CONFIG: "http://127.0.0.1/x"}, f"the export has no {WEIGHTS}; it has {CONFIG}"),
        ({WEIGHTS: "file:///etc/passwd", CONFIG: "http://x"}, "is not http"),
    ],
)
def test_what_is_missing_or_elsewhere_is_refused(tmp_path, urls, message):
    with pytest.raises(AdapterDamaged, match=message):
        download_external(urls, tmp_path)


def test_a_wish_to_stop_ends_a_download_between_parts(server, tmp_path):
    server.script = [(503, {}, b"")]

    def check():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        download_external(server.urls, tmp_path, [WEIGHTS], check=check, pause=0.01)

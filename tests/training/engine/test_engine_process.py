"""The command, ``connect()`` and the supervisor."""

import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from serving import KEY, EngineProcess, run_engine_command

from training.engine import EngineError, EngineSettings, EngineSupervisor, connect
from training.engine.connection import find, find_or_start, is_healthy


@pytest.fixture
def settings(tiny, tmp_path):
    return EngineSettings(
        base_model=tiny, state_dir=tmp_path / "state", adapters=(), idle_exit_s=60
    )


@pytest.fixture
def no_hosted(monkeypatch):
    monkeypatch.delenv("TINKER_API_KEY", raising=False)
    monkeypatch.delenv("TINKER_BASE_URL", raising=False)


def end(settings):
    told = find(settings)
    if told:
        os.kill(told["pid"], 15)
        limit = time.monotonic() + 90
        while find(settings) and time.monotonic() < limit:
            time.sleep(0.05)


def test_importing_the_engine_imports_neither_torch_nor_tinker():
    code = (
        "import sys, training.engine, training.engine.commands, training.engine.supervise;"
        "assert not {'torch', 'tinker', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_protocol_room_runs_without_torch():
    code = (
        "import sys, training.engine.protocol.app;"
        "assert not {'torch', 'tinker', 'transformers', 'peft'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "missing", "no such folder"),
        (lambda p: p, "no config.json"),
    ],
)
def test_a_missing_base_model_is_one_line_and_status_1(tmp_path, make, message):
    done = run_engine_command(
        "--port=0", f"--base-model={make(tmp_path)}", f"--state={tmp_path / 's'}"
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_broken_base_model_and_a_bad_key_are_one_line_too(tiny, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{not json")
    (broken / "model.safetensors").write_bytes(b"")
    done = run_engine_command("--port=0", f"--base-model={broken}", f"--state={tmp_path / 's'}")
    assert done.returncode == 1
    assert "config.json cannot be read" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    for key in ("secret", ""):
        done = run_engine_command(
            "--port=0", f"--base-model={tiny}", f"--state={tmp_path / 's'}", f"--key={key}"
        )
        assert done.returncode == 1
        assert "tml-" in done.stderr


@pytest.mark.parametrize("device", ["toaster", "meta"])
def test_a_device_that_is_not_there_is_one_line(tiny, tmp_path, device):
    done = run_engine_command(
        "--port=0", f"--base-model={tiny}", f"--state={tmp_path / 's'}", f"--device={device}"
    )
    assert done.returncode == 1
    assert f"device {device}" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_the_command_prints_address_and_model_name_and_ends_cleanly(tiny, tmp_path):
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "personaloop",
            "engine",
            "--port",
            "0",
            "--base-model",
            str(tiny),
            "--state",
            str(tmp_path / "state"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        lines = [process.stdout.readline() for _ in range(3)]
        assert "engine ready at http://127.0.0.1:" in lines[0]
        assert str(tiny) in lines[1]
        assert "tml-" in lines[2]
        url = lines[0].split()[3]
        assert is_healthy(url, lines[2].split()[-1])
        told = (tmp_path / "state" / "engine.json").stat()
        assert told.st_mode & 0o777 == 0o600
        process.terminate()
        assert process.wait(20) == 0
        assert not (tmp_path / "state" / "engine.json").exists()
    finally:
        process.kill()


@pytest.mark.slow
def test_connect_starts_one_engine_for_many_callers_and_finds_it_again(settings, no_hosted, tiny):
    told: list[dict] = []
    threads = [
        threading.Thread(target=lambda: told.append(find_or_start(settings))) for _ in range(3)
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert len({t["pid"] for t in told}) == 1
        client = connect(settings)
        model = client.create_lora_training_client(told[0]["base_model"], rank=2).result()
        assert model.get_info().lora_rank == 2
        assert KEY not in settings.log_file.read_text()
        assert told[0]["key"] not in settings.log_file.read_text()
        with pytest.raises(EngineError, match="serves"):
            find_or_start(replace(settings, base_model=tiny.parent))
    finally:
        end(settings)


def test_connect_tells_why_an_engine_does_not_start(settings, no_hosted, tmp_path):
    with pytest.raises(EngineError, match="no such folder"):
        connect(replace(settings, base_model=tmp_path / "missing"))


def test_connect_goes_to_the_hosted_engine_when_a_key_is_set(settings, monkeypatch):
    monkeypatch.setenv("TINKER_API_KEY", "tml-hosted")
    monkeypatch.setenv("TINKER_BASE_URL", "http://127.0.0.1:9")
    client = connect(settings)  # lazy: nothing is contacted yet
    assert client is not None
    assert not settings.state_dir.exists()


def test_a_stale_announcement_is_not_believed(settings, no_hosted):
    settings.state_dir.mkdir(parents=True)
    settings.announcement.write_text(
        '{"url": "http://127.0.0.1:9", "key": "tml-x", "pid": 1, "base_model": "x"}'
    )
    assert find(settings) is None


@pytest.mark.slow
def test_two_engines_do_not_share_a_state_folder(settings, tiny, monkeypatch):
    with EngineProcess(settings) as engine:
        engine.start()
        done = run_engine_command(
            "--port=0", f"--base-model={tiny}", f"--state={settings.state_dir}"
        )
        assert done.returncode == 1
        assert "already serves" in done.stderr
        engine.terminate()


@pytest.mark.slow
def test_the_supervisor_restarts_a_killed_engine_and_stops_only_its_own(settings, no_hosted):
    settings = replace(settings, idle_exit_s=None)
    with EngineSupervisor(settings, check_every_s=0.2) as supervisor:
        first = find(settings)
        os.kill(first["pid"], 9)
        limit = time.monotonic() + 200
        while time.monotonic() < limit:
            second = find(settings)
            if second and second["pid"] != first["pid"]:
                break
            time.sleep(0.1)
        assert second and second["pid"] != first["pid"]
        same = {name: second[name] for name in ("url", "key")}
        assert same == {name: first[name] for name in same}, "old clients find their way back"
        with EngineSupervisor(settings) as guest:
            assert guest.healthy()
        assert find(settings), "a guest leaves the engine alone"
        assert supervisor.healthy()
    assert find(settings) is None


@pytest.mark.slow
def test_a_supervised_engine_ends_with_its_supervisor(settings, no_hosted):
    environment = {
        **os.environ,
        "PERSONALOOP_OUTPUTS": str(settings.state_dir.parent),
        "PERSONALOOP_BASE_MODEL": str(settings.base_model),
    }
    settings = replace(settings, state_dir=settings.state_dir.parent / "engine")
    process = subprocess.Popen([sys.executable, "-m", "training.engine.supervise"], env=environment)
    try:
        limit = time.monotonic() + 200
        while not find(settings) and time.monotonic() < limit:
            time.sleep(0.1)
        assert find(settings)
        process.kill()
        limit = time.monotonic() + 90
        while find(settings) and time.monotonic() < limit:
            time.sleep(0.1)
        assert find(settings) is None
    finally:
        process.kill()
        end(settings)


def test_answers_are_sent_at_once_and_wait_for_no_acknowledgement(tmp_path):
    from training.engine.serve import _bind

    sock = _bind(EngineSettings(state_dir=tmp_path))
    try:
        # What asyncio looks at before it switches Nagle's algorithm off for a connection.
        assert sock.proto == socket.IPPROTO_TCP
    finally:
        sock.close()


def test_a_gpu_is_used_where_there_is_one_and_its_memory_is_the_room_to_decode(base, monkeypatch):
    import types

    import torch

    from training.engine.compute.base import _device
    from training.engine.compute.lanes import CPU_KV_BYTES, Lanes

    tried = []

    def zeros(_size, device):
        tried.append(device.type)
        return torch.empty(1)

    monkeypatch.setattr(torch, "zeros", zeros)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert _device(None).type == "cuda"
    assert _device("cpu").type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert _device(None).type == "cpu"
    assert tried == ["cuda", "cpu", "cpu"]

    column = base.n_layers * 2 * 2 * 8 * 4
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (8 << 30, 80 << 30))
    there = types.SimpleNamespace(
        config=base.config, n_layers=base.n_layers, device=torch.device("cuda")
    )
    on_gpu = Lanes(types.SimpleNamespace(base=there), None)
    assert on_gpu._columns == (2 << 30) // column
    assert Lanes(types.SimpleNamespace(base=base), None)._columns == CPU_KV_BYTES // column
    assert Lanes(types.SimpleNamespace(base=there), 10 * column)._columns == 10

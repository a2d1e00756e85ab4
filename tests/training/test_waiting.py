"""Waiting for a service ends: by an answer, by its reason, or by a wish to stop."""

import threading
from concurrent.futures import Future

import pytest

from training import waiting
from training.engine.settings import EngineSettings
from training.errors import ServiceGone
from training.service import Service
from training.waiting import InThread

NEAR = "http://127.0.0.1:1"


@pytest.fixture
def found(monkeypatch):
    """What is found of the local engine at each look."""
    said: list[dict | None] = [None]
    monkeypatch.setattr("training.engine.connection.find", lambda settings: said[0])
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(waiting, "GONE_SECONDS", 0.05)
    return said


@pytest.fixture
def never():
    """An answer that does not come before the test is over."""
    over = threading.Event()
    yield InThread(lambda: over.wait(60))
    over.set()


def service(tmp_path, **change):
    settings = EngineSettings(base_model=tmp_path, state_dir=tmp_path, adapters=())
    told = {"settings": settings, "address": NEAR, **change}
    return Service(None, None, "tiny", tmp_path, "", False, 64, **told)  # type: ignore[arg-type]


def test_an_engine_that_vanished_is_not_waited_for_for_ever(found, never, tmp_path):
    with pytest.raises(ServiceGone, match=f"the engine at {NEAR} is gone; start it again"):
        service(tmp_path).wait(never)


def test_an_engine_that_was_started_anew_does_not_know_the_request(found, never, tmp_path):
    found[0] = {"url": "http://127.0.0.1:2"}
    with pytest.raises(ServiceGone, match=r"started anew at http://127\.0\.0\.1:2"):
        service(tmp_path).wait(never)


def test_an_engine_that_is_busy_is_waited_for(found, tmp_path):
    found[0] = {"url": NEAR}
    begin = threading.Event()
    looks = []

    def check():
        looks.append(1)
        if len(looks) == 20:
            begin.set()

    assert service(tmp_path, check=check).wait(InThread(lambda: begin.wait(60))) is True
    assert len(looks) >= 20


def test_a_wish_to_stop_ends_the_waiting_and_an_error_is_raised_as_it_is(found, never, tmp_path):
    def check():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        service(tmp_path, check=check).wait(never)
    with pytest.raises(TimeoutError, match="of the service's own"):
        service(tmp_path).wait(InThread(lambda: failed()))


def failed():
    raise TimeoutError("of the service's own")


def test_a_future_that_is_done_is_answered_at_once(found, tmp_path):
    done: Future[int] = Future()
    done.set_result(7)
    assert service(tmp_path).wait(done) == 7

"""A retraining that can be left alone: gate, keys, fencing, and each way in which it can break.

Where the job goes on after a mishap its adapter is the same to the bit as that of every other test
here, whose judgments are the same: `SAME` collects the hashes.
"""

import errno
from pathlib import Path

import httpx
import pytest
import tinker
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from test_retraining import ask, count, expire, labeled, state_of, worker_of
from workbench import PERSONA, small_dpo

from db import jobs
from db.errors import LeaseLost
from db.models import Adapter, Batch, BatchKind, Job, JobKind, JobState, RoundState, Run
from training import dpo, retraining, runs, saving
from training.code_hash import ROOM, code_sha256, deciding_files
from training.errors import AlreadyTrained, ConfigRefused, ServiceGone
from training.evaluation.judges import annotators
from training.retraining import Retraining
from training.simulation import judge_all
from training.troubles import disk_full, one_line, reason, service_trouble

SAME: set[str] = set()


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def first_place(messages, persona, a, b):
    return "a"


def hasty(ledger, workshop):
    """A worker that does not wait between attempts."""
    worker = worker_of(ledger, workshop)
    worker.stop.wait = lambda seconds: False
    return worker


def the_adapter(ledger):
    """The trained adapter, whose weights are those of every test here."""
    with ledger.begin() as session:
        made = session.scalars(select(Adapter).where(Adapter.kind == "dpo")).one()
    SAME.add(made.sha256)
    assert len(SAME) == 1, "the same judgments made another adapter"
    return made


def retrained(ledger, workshop, worker=None):
    """The present job, run to its good end."""
    done = (worker or worker_of(ledger, workshop)).step()
    assert done is not None and done.outcome == "done", done
    return the_adapter(ledger)


def failed(ledger, workshop, words, worker=None):
    """The present job, which fails with its reason; people can go on judging."""
    done = (worker or hasty(ledger, workshop)).step()
    assert done is not None and done.outcome == "failed" and words in done.message, done
    assert "\n" not in done.message
    assert state_of(ledger) is RoundState.LABELING
    assert count(ledger, Run, Run.state == JobState.RUNNING) == 0
    assert count(ledger, Adapter) == 1, "nothing is registered"
    return done.message


def states(workshop, model):
    """Saved states of a model on the service."""
    told = workshop.service().rest.list_checkpoints(model).result().checkpoints
    return sorted(each.tinker_path.rpartition("/")[2] for each in told)


def once(real, error):
    """A function that fails at its first call."""
    calls = []

    def function(*args, **kwargs):
        calls.append(args)
        if len(calls) == 1:
            raise error
        return real(*args, **kwargs)

    return function


def test_asking_twice_trains_once_also_after_a_rejected_round(ledger, workshop):
    labeled(ledger, workshop)
    ask(ledger, JobKind.RETRAIN, include_simulated=True)
    made = retrained(ledger, workshop)
    judge_all(ledger, annotators(3, judge=lambda m, p, a, b: "both_bad", name="simulated-strict"))
    worker = worker_of(ledger, workshop)
    worker.decide()
    assert state_of(ledger) is RoundState.REJECTED
    ask(ledger, JobKind.RETRAIN, include_simulated=True)
    done = worker.step()
    assert done.outcome == "failed"
    assert f"made {made.id} already, which round 1 rejected" in done.message
    assert count(ledger, Run) == 1 and count(ledger, Adapter) == 2
    with ledger.begin() as session:
        run = session.scalars(select(Run)).one()
        assert run.key and run.key[:8] == made.id[-8:] and run.code_sha256 == code_sha256(PERSONA)
        assert session.get_one(Adapter, made.id).run_id == run.id
    other = Retraining(
        ledger, workshop.service(), PERSONA, include_simulated=True, config=small_dpo(seed=8)
    )
    assert other.begin().key != run.key, "another configuration is another run"


def test_a_run_that_an_update_of_the_code_interrupted_begins_anew(ledger, workshop, monkeypatch):
    labeled(ledger, workshop)
    ask(ledger, JobKind.RETRAIN, include_simulated=True)

    real, paths = runs.RunFolder.put_checkpoint, []

    def note_and_die(self, step, path):
        real(self, step, path)
        paths.append(path)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(retraining, "code_sha256", lambda persona: "0" * 64)
        patched.setattr(runs.RunFolder, "put_checkpoint", note_and_die)
        with pytest.raises(Killed):
            worker_of(ledger, workshop).step()
    expire(ledger)
    made = retrained(ledger, workshop)
    assert states(workshop, paths[0].split("/")[2]) == [], "nothing is left on the service"
    with ledger.begin() as session:
        first, second = session.scalars(select(Run).order_by(Run.id))
        assert (first.state, first.code_sha256) == (JobState.FAILED, "0" * 64)
        assert second.state is JobState.DONE and second.key[:8] == made.id[-8:] != first.key[:8]


@pytest.mark.slow
def test_a_worker_that_lost_its_lease_writes_nothing_more(either, workshop, monkeypatch):
    ledger = either
    labeled(ledger, workshop)
    job_id = ask(ledger, JobKind.RETRAIN, include_simulated=True)
    real = retraining.train_adapter

    def and_stolen(*args, **kwargs):
        card = real(*args, **kwargs)
        expire(ledger)
        with ledger.begin() as session:
            assert jobs.claim_job(session, sleeper.name).id == job_id, "by its own name, even"
        return card

    sleeper = worker_of(ledger, workshop)
    with monkeypatch.context() as patched:
        patched.setattr(retraining, "train_adapter", and_stolen)
        done = sleeper.step()
    assert done.outcome == "left" and "claimed anew" in done.message
    assert count(ledger, Adapter) == 1, "the adapter was not registered"
    assert count(ledger, Run, Run.state == JobState.RUNNING) == 1
    assert state_of(ledger) is RoundState.TRAINING
    expire(ledger)
    with monkeypatch.context() as patched:
        opened = retraining.BatchMaker.blind_batch

        def stolen_again(*args, **kwargs):
            expire(ledger)
            with ledger.begin() as session:
                jobs.claim_job(session, "thief")
            return opened(*args, **kwargs)

        patched.setattr(retraining.BatchMaker, "blind_batch", stolen_again)
        assert worker_of(ledger, workshop).step().outcome == "left"
    assert count(ledger, Batch, Batch.kind == BatchKind.BLIND) == 0, "no comparison was opened"
    assert state_of(ledger) is RoundState.TRAINING
    expire(ledger)
    retrained(ledger, workshop)
    assert count(ledger, Run) == 1 and state_of(ledger) is RoundState.BLIND


def fails_in_the_loss(ledger, workshop, monkeypatch):
    """The loss fails, which poisons the client: the job fails with the loss's own words."""
    with monkeypatch.context() as patched:
        patched.setattr(dpo, "loss_of", lambda *a: once(None, ValueError("a margin of no number")))
        failed(ledger, workshop, "ValueError: a margin of no number")


def fails_on_a_full_disk(ledger, workshop, monkeypatch):
    """There is no space to note the second saved state: the job fails and says the remedy."""
    real, wrote = runs.write_atomically, []

    def full(path: Path, text: str):
        wrote.append(path.name)
        if path.name == "checkpoint.json" and wrote.count("checkpoint.json") == 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, text)

    with monkeypatch.context() as patched:
        patched.setattr(runs, "write_atomically", full)
        message = failed(ledger, workshop, "the disk is full")
    assert "checkpoint.json" in message and "ask again" in message


def dies_before_the_note(ledger, workshop, monkeypatch):
    """Killed between the saved state and its note, it leaves a state that only the intent names."""
    real = runs.RunFolder.put_checkpoint

    def die(self, step, path):
        if step == 6:
            raise Killed
        real(self, step, path)

    with monkeypatch.context() as patched:
        patched.setattr(runs.RunFolder, "put_checkpoint", die)
        with pytest.raises(Killed):
            worker_of(ledger, workshop).step()
    expire(ledger)


def meets_a_cut_wire_and_a_new_engine(ledger, workshop, monkeypatch):
    """The engine was started anew, and the wire breaks under a loss: the worker tries again."""
    real, cut = dpo.loss_of, []

    def cut_once(*args):
        cut.append(1)
        return once(None, ConnectionError("the wire was cut")) if len(cut) == 1 else real(*args)

    worker = hasty(ledger, workshop)
    worker.connect = once(worker.connect, ServiceGone("the engine was started anew"))
    with monkeypatch.context() as patched:
        patched.setattr(dpo, "loss_of", cut_once)
        made = retrained(ledger, workshop, worker)
    assert len(cut) > 1
    return made


def test_mishap_after_mishap_ends_in_the_same_adapter(ledger, workshop, monkeypatch):
    labeled(ledger, workshop)
    for mishap in (fails_in_the_loss, fails_on_a_full_disk):
        ask(ledger, JobKind.RETRAIN, include_simulated=True)
        mishap(ledger, workshop, monkeypatch)
    ask(ledger, JobKind.RETRAIN, include_simulated=True)
    dies_before_the_note(ledger, workshop, monkeypatch)
    with ledger.begin() as session:
        run = session.scalars(select(Run).order_by(Run.id.desc())).first()
        folder = runs.RunFolder(workshop.outputs.joinpath(*run.folder.split("/")[-2:]))
    intent = folder.read(saving.INTENT)
    assert intent is not None and intent["step"] == 6
    model = intent["path"].split("/")[2]
    assert "step-000006" in states(workshop, model), "written, and noted nowhere but in the intent"
    made = meets_a_cut_wire_and_a_new_engine(ledger, workshop, monkeypatch)
    assert states(workshop, model) == [] and folder.read(saving.INTENT) is None
    with ledger.begin() as session:
        found = list(session.scalars(select(Run).order_by(Run.id)))
    assert [run.state for run in found] == ["failed", "failed", "done"]
    assert len({run.key for run in found}) == 1 and made.run_id == found[-1].id
    steps = [record["step"] for record in folder.metrics()]
    assert steps == list(range(1, len(steps) + 1)), "one curve without a gap or a repeat"


def test_a_ledger_without_space_for_the_reason_loses_nothing(ledger, workshop, monkeypatch):
    with ledger.begin() as session:
        job_id = jobs.enqueue(session, JobKind.GENERATE).id  # without a persona it fails
    full = OperationalError("update", {}, Exception("database or disk is full"))

    def refuse(*args, **kwargs):
        raise full

    with monkeypatch.context() as patched:
        patched.setattr(jobs, "fail", refuse)
        done = worker_of(ledger, workshop).step()
    assert done.outcome == "left" and "disk is full" in done.message
    expire(ledger)
    done = worker_of(ledger, workshop).step()
    assert (done.job_id, done.outcome) == (job_id, "failed")


def test_attempts_are_bounded_and_the_last_reason_is_told(ledger, workshop, monkeypatch):
    labeled(ledger, workshop)
    ask(ledger, JobKind.RETRAIN, include_simulated=True)
    calls = []

    def gone():
        calls.append(1)
        raise ConnectionError("nobody answers")

    worker = hasty(ledger, workshop)
    worker.connect = gone
    done = worker.step()
    assert done.outcome == "failed" and len(calls) == 5
    assert done.message == "the model service failed: ConnectionError: nobody answers"
    ask(ledger, JobKind.RETRAIN, include_simulated=True)
    worker.connect = lambda: (_ for _ in ()).throw(ConfigRefused("no such model"))
    assert worker.step().message == "no such model", "what cannot help is not tried again"


def test_a_job_that_kills_its_workers_ends(ledger, workshop):
    job_id = ask(ledger, JobKind.GENERATE)
    with ledger.begin() as session:
        session.get_one(Job, job_id).attempts = 30
    done = worker_of(ledger, workshop).step()
    assert done.outcome == "failed" and "none came back" in done.message


def test_judgments_that_are_not_ready_train_nothing_unless_forced(ledger, workshop):
    labeled(ledger, workshop, annotators(8, judge=first_place))
    ask(ledger, JobKind.RETRAIN, include_simulated=True)
    done = worker_of(ledger, workshop).step()
    assert done.outcome == "failed" and "the first place won 100% of 24" in done.message
    assert "36 more judgments without a leaning would do" in done.message
    assert count(ledger, Run) == 0
    ask(ledger, JobKind.RETRAIN, include_simulated=True, force="a trial")
    done = worker_of(ledger, workshop).step()
    assert done.outcome == "done", done
    with ledger.begin() as session:
        made = session.scalars(select(Adapter).where(Adapter.kind == "dpo")).one()
    assert made.metrics["forced"] == "a trial"


def answered(status: int) -> tinker.APIStatusError:
    request = httpx.Request("POST", "http://engine/api")
    kinds = {
        400: tinker.BadRequestError,
        401: tinker.AuthenticationError,
        403: tinker.PermissionDeniedError,
        404: tinker.NotFoundError,
        422: tinker.UnprocessableEntityError,
        429: tinker.RateLimitError,
        503: tinker.InternalServerError,
    }
    made = kinds[status]("said", response=httpx.Response(status, request=request), body=None)
    made.status_code = status
    return made


def poisoned_by(cause: Exception) -> Exception:
    error = RuntimeError("A previous request failed; this TrainingClient is poisoned and")
    error.__cause__ = cause
    return error


WIRE = tinker.APIConnectionError(request=httpx.Request("POST", "http://engine/api"))


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (WIRE, True),
        (ConnectionResetError("reset"), True),
        (ServiceGone("moved"), True),
        (answered(503), True),
        (answered(429), True),
        (answered(404), True),
        (answered(400), False),
        (answered(401), False),
        (answered(403), False),
        (answered(422), False),
        (poisoned_by(WIRE), True),
        (poisoned_by(answered(401)), False),
        (poisoned_by(ValueError("a wrong loss")), False),
        (AlreadyTrained("made"), False),
        (LeaseLost("another has it"), False),
        (ValueError("a mistake"), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (RuntimeError("the checkpoint could not be written: No space left on device"), False),
    ],
)
def test_only_what_can_pass_is_tried_again(error, again):
    assert service_trouble(error) is again


def test_a_failed_request_is_tried_again_unless_it_was_wrong():
    from tinker.types import RequestErrorCategory as Category

    gone = "model m is not on this engine any more; create a training client"
    for text, category, again in (
        ("boom", Category.Server, True),
        ("a datum is empty", Category.User, False),
        (gone, Category.User, True),
    ):
        assert service_trouble(tinker.RequestFailedError(text, "r1", category)) is again


def test_reasons_are_one_line_and_name_the_cause():
    assert one_line(poisoned_by(ValueError("a wrong\nloss"))).endswith("(ValueError: a wrong)")
    wrapped = RuntimeError("while saving")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert disk_full(wrapped) and "free some space" in (reason(wrapped) or "")
    assert reason(ValueError("x")) is None


def test_the_code_hash_covers_what_decides_and_not_the_plumbing(tmp_path, monkeypatch):
    names = {
        str(path.relative_to(ROOM)) for path in deciding_files(PERSONA) if ROOM in path.parents
    }
    assert {"dpo.py", "dpo_loss.py", "losses.py", "pairs.py", "schedules.py", "datums.py"} <= names
    assert "engine/compute/training.py" in names
    assert not {"service.py", "saving.py", "runs.py", "jobs.py", "commands.py"} & names
    before = code_sha256(PERSONA)
    assert before == code_sha256(PERSONA) != code_sha256("formal_concierge"), "its guide counts"
    import training.code_hash as hashing

    guide = tmp_path / f"{PERSONA}.md"
    guide.write_text("another guide")
    monkeypatch.setattr(hashing, "PERSONAS_DIR", tmp_path)
    assert code_sha256(PERSONA) != before

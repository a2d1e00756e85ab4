"""A worker with nothing to do keeps the order of pairs fresh; it connects to no service for it."""

from sqlalchemy import select

from db import adapters, batches, candidates, labeling, people, personas, prompts, reranking
from db.models import Batch
from db.session import close_database, sessions, upgrade
from training.jobs import Worker


def test_an_idle_worker_ranks_a_batch_after_some_judgments(tmp_path):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    upgrade(url)
    make = sessions(url)
    with make.begin() as session:
        personas.put_persona(session, slug="pip", name="Pip")
        for name in ("one", "two"):
            adapters.put_adapter(session, id=name, kind="sft", persona="pip", sha256=name)
        batch = batches.open_batch(session, name="batch", kind="label", persona="pip")
        batch.strategy = "informative"
        for number in range(reranking.EVERY + 5):
            prompt = prompts.put_prompt(session, [{"role": "user", "content": f"{number}?"}])
            pair = [
                candidates.put_candidate(
                    session,
                    prompt_id=prompt.id,
                    persona="pip",
                    adapter_id=name,
                    text=f"{name} says {number}",
                    sampling={},
                    seed=1,
                )
                for name in ("one", "two")
            ]
            batches.put_comparison(session, batch, *pair)
        ann = people.put_annotator(session, "Ann").id
        for number in range(reranking.EVERY):
            shown = labeling.claim(session, ann)
            assert shown is not None
            labeling.judge(session, shown.token, ann, "ab"[number % 2], min_dwell=False)
    assert Worker(make, connect=_nothing).work(once=True) == 0
    with make() as session:
        assert session.scalars(select(Batch)).one().ranked_at is not None
    close_database(url)


def _nothing():
    raise AssertionError("a worker without a job needs no service")

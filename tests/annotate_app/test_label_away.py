"""The label page of somebody who went away."""

from pathlib import Path

from sqlalchemy import func, select
from streamlit.testing.v1 import AppTest

from annotate_app import labeling
from annotate_app import session as app_session
from db import people
from db.models import Assignment
from db.session import close_database, readers, sessions
from tests.e2e.serving import seed

PAGE = Path(labeling.__file__).parent / "app_pages" / "label.py"


def leases():
    with readers()() as session:
        return session.scalar(select(func.count()).select_from(Assignment))


def test_a_forgotten_page_says_so_and_takes_a_pair_only_when_asked(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("PERSONALOOP_OUTPUTS", str(tmp_path))
    seed(url, pairs=2)
    with sessions().begin() as session:
        ada = people.put_annotator(session, "Ada")
        session.flush()
        session.expunge(ada)
    monkeypatch.setattr(app_session, "signed_in", lambda: ada)
    page = AppTest.from_file(str(PAGE), default_timeout=30)
    page.session_state["pl-away"] = "You were away, so this pair is kept for you no longer."
    page.run()
    assert not page.exception
    assert "You were away" in page.info[0].value
    assert leases() == 0
    page.button[0].click().run()
    assert not page.exception
    assert not page.info
    assert leases() == 1
    close_database(url)

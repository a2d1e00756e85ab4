"""Exports of other tools, in the shape in which those tools write them.

Label Studio: label_studio_sdk converter/converter.py (JSON is copied, JSON-MIN by
convert_to_json_min), converter/exports/csv2.py, converter/utils.py (get_annotator,
prettify_result); the editor's tags/control/Pairwise.js (``selected`` is left or right).
Argilla: records/_resource.py (Record.to_dict, as to_json writes it) and records/_io/_generic.py
(flat columns, as to_datasets writes them).
"""

import csv
import json
from pathlib import Path

import pytest
from sqlalchemy import func, select

from db import importing, judgments
from db.errors import ImportRefused
from db.import_options import Problems, Told
from db.models import Annotator, Comparison, Judgment, Prompt
from db.session import sessions
from db.writing import write_rows

DATA = {"prompt": "Where is my order?", "answer_a": "On its way.", "answer_b": "No idea."}


def pairwise(side: str) -> dict:
    return {"id": "pQ1", "from_name": "pw", "to_name": "pw", "type": "pairwise",
            "value": {"selected": side}, "origin": "manual"}  # fmt: skip


def choice(words: str) -> dict:
    return {"id": "cQ1", "from_name": "tie", "to_name": "prompt", "type": "choices",
            "value": {"choices": [words]}, "origin": "manual"}  # fmt: skip


def annotation(number: int, who, *result: dict, **more) -> dict:
    return {
        "id": number, "completed_by": who, "result": list(result), "was_cancelled": False,
        "ground_truth": False, "created_at": "2026-03-09T22:16:08.728353Z",
        "updated_at": "2026-03-09T22:16:08.728378Z", "lead_time": 4.288, "prediction": {},
        "result_count": len(result), "task": 1, **more,
    }  # fmt: skip


ANN = {"id": 3, "email": "ann@example.com", "first_name": "Ann", "last_name": ""}
TASKS = [
    {
        "id": 1,
        "data": DATA,
        "annotations": [
            annotation(11, ANN, pairwise("left")),
            annotation(12, 7, pairwise("right")),
            annotation(13, 8, choice("Tie")),
            annotation(14, 9, was_cancelled=True),
            annotation(15, 10),
        ],
        "predictions": [{"id": 5, "model_version": "judge-1", "result": [pairwise("right")]}],
    },
    {
        "id": 2,
        "data": {**DATA, "prompt": "And my refund?"},
        "annotations": [annotation(21, 7, choice("Both bad"))],
        "predictions": [],
    },
]


def flat_tasks() -> list[dict]:
    """As JSON-MIN has them: prettify_result keeps a pairwise answer as a list of one object."""
    rows = []
    for task in TASKS:
        for each in task["annotations"]:
            if each["was_cancelled"]:
                continue
            row = {**task["data"], "id": task["id"], "annotation_id": each["id"],
                   "annotator": each["completed_by"], "created_at": each["created_at"],
                   "updated_at": each["updated_at"], "lead_time": each["lead_time"]}  # fmt: skip
            if isinstance(row["annotator"], dict):
                row["annotator"] = row["annotator"]["email"]
            for result in each["result"]:
                value = result["value"]
                row[result["from_name"]] = value["choices"][0] if "choices" in value else [value]
            rows.append(row)
    return rows


def write(path: Path, shape: str) -> Path:
    if shape == "json":
        path.write_text(json.dumps(TASKS))
    elif shape == "json-min":
        path.write_text(json.dumps(flat_tasks()))
    else:
        rows = flat_tasks()
        names = sorted({name for row in rows for name in row})
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, names, quoting=csv.QUOTE_NONNUMERIC)
            writer.writeheader()
            for row in rows:
                cells = {n: json.dumps(v) if isinstance(v, list) else v for n, v in row.items()}
                writer.writerow(cells)
    return path


def verdicts(session) -> set[tuple[str, str]]:
    """Who preferred which answer, whatever the ledger's order of the two."""
    found = set()
    for judgment in session.scalars(select(Judgment)):
        pair = judgment.comparison
        texts = {"a": pair.candidate_a.text, "b": pair.candidate_b.text}
        said = texts.get(judgment.verdict.value, judgment.verdict.value)
        found.add((session.get_one(Annotator, judgment.annotator_id).name, said))
    return found


PEOPLE = {
    ("ann@example.com", "On its way."),
    ("label-studio 7", "No idea."),
    ("label-studio 8", "tie"),
    ("label-studio 7", "both_bad"),
}


@pytest.mark.parametrize(("shape", "name"), [("json", "ls.json"), ("json-min", "ls.json"),
                                             ("csv", "ls.csv")])  # fmt: skip
def test_label_studios_pairwise_export_is_taken_in_each_of_its_shapes(
    make, tmp_path: Path, shape: str, name: str
) -> None:
    path = write(tmp_path / name, shape)
    with make.begin() as session:
        done = importing.import_judgments(session, path, batch="shop")
        assert done.added == 4
        assert done.left_out["without an answer"] == 1
        assert verdicts(session) == PEOPLE
        frame = judgments.standing_frame(session)
        assert set(session.scalars(select(Judgment.dwell_ms))) == {4288}
        assert set(frame["placement"]) <= {1, -1}
        asked = {each.messages[0]["content"] for each in session.scalars(select(Prompt))}
        assert asked == {"Where is my order?", "And my refund?"}
        assert importing.import_judgments(session, path, batch="shop").known == 4


def test_the_same_annotations_in_another_shape_are_known_already(make, tmp_path: Path) -> None:
    with make.begin() as session:
        importing.import_judgments(session, write(tmp_path / "a.json", "json"), batch="shop")
        for shape, name in (("json-min", "b.json"), ("csv", "c.csv")):
            done = importing.import_judgments(session, write(tmp_path / name, shape), batch="shop")
            assert (done.added, done.known) == (0, 4), shape


def test_predictions_are_taken_only_when_asked_and_as_automatic(make, tmp_path: Path) -> None:
    path = write(tmp_path / "ls.json", "json")
    with make.begin() as session:
        importing.import_judgments(session, path, batch="s", told=Told(suggestions=True))
        frame = judgments.standing_frame(session)
    automatic = frame[frame["annotator_kind"] == "automatic"]
    assert automatic["annotator"].tolist() == ["judge-1"]


def test_label_studios_tasks_become_comparisons_once_each(make, tmp_path: Path) -> None:
    for shape, name in (("json", "a.json"), ("csv", "b.csv")):
        with make.begin() as session:
            done = importing.import_comparisons(
                session, write(tmp_path / name, shape), batch="ask", overlap=2
            )
            assert done.rows == 2
    with make() as session:
        assert session.scalar(select(func.count()).select_from(Comparison)) == 2


def test_label_studios_prompts_are_taken(make, tmp_path: Path) -> None:
    with make.begin() as session:
        done = importing.import_prompts(session, write(tmp_path / "a.json", "json"))
        assert (done.rows, done.added) == (2, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": {**DATA, "answer_b": 5}}, "record 2: field data.answer_b: must be the text"),
        ({"annotations": [annotation(1, 7, pairwise("up"))]},
         "record 2: field annotations[0].result.value.selected"),
        ({"annotations": [annotation(1, 7, pairwise("left"), choice("Tie"))]},
         "annotations[0].result: contradicts itself (pw says a, tie says tie)"),
        ({"annotations": "none"}, "record 2: field annotations: must be a list of objects"),
        ({"data": {**DATA, "answer_a": "x\x00"}}, "field data.answer_a: has a character"),
        ({"annotations": [annotation(1, 7, pairwise("left"), lead_time="long")]}, "lead_time"),
    ],
)  # fmt: skip
def test_a_bad_task_is_named_and_nothing_is_taken(
    sqlite_url: str, tmp_path: Path, change: dict, message: str
) -> None:
    path = tmp_path / "ls.json"
    path.write_text(json.dumps([TASKS[0], {**TASKS[1], **change}]))
    make = sessions(sqlite_url)
    with pytest.raises(ImportRefused) as refused, make.begin() as session:
        importing.import_judgments(session, path)
    assert message in str(refused.value)
    with make() as session:
        assert session.scalar(select(func.count()).select_from(Judgment)) == 0


def test_fields_that_could_be_either_are_asked_for(make, tmp_path: Path) -> None:
    path = tmp_path / "ls.json"
    data = {**DATA, "text1": "one", "text2": "two"}
    path.write_text(json.dumps([{**TASKS[0], "data": data}]))
    with pytest.raises(ImportRefused, match="--field a=NAME --field b=NAME"), make() as session:
        importing.import_judgments(session, path)
    with make.begin() as session:
        told = Told(fields={"a": "text1", "b": "text2"})
        importing.import_judgments(session, path, told=told)
        assert ("ann@example.com", "one") in verdicts(session)


def test_a_file_that_two_tools_could_have_written_is_asked_about(make, tmp_path: Path) -> None:
    path = tmp_path / "both.csv"
    path.write_text("item_a,item_b,verdict,annotator,annotation_id,lead_time\nx,y,a,w,1,2\n")
    both = "label-studio and of personaloop; say which with"
    with pytest.raises(ImportRefused, match=both), make() as session:
        importing.import_judgments(session, path)
    with make.begin() as session:
        assert importing.import_judgments(session, path, told=Told(tool="personaloop")).added == 1


FIELDS = {"instruction": "Where is my order?", "response1": "On its way.",
          "response2": "No idea."}  # fmt: skip
USERS = ["6f1c0b0e-0000-4000-8000-000000000001", "6f1c0b0e-0000-4000-8000-000000000002"]
ANSWERS = {
    "ranking of names": ("preference", ["response2", "response1"], "No idea."),
    "ranking with ranks": (
        "preference",
        [{"value": "response1", "rank": 1}, {"value": "response2", "rank": 1}],
        "tie",
    ),
    "label": ("better", "response1", "On its way."),
    "label of a tie": ("better", "tie", "tie"),
}


def nested(question: str, value) -> dict:
    return {
        "id": "r1", "fields": FIELDS, "metadata": {}, "vectors": {}, "_server_id": "s1",
        "suggestions": {question: {"value": value, "score": 0.9, "agent": "judge-2"}},
        "responses": {question: [{"value": value, "user_id": USERS[0]}],
                      "comment": [{"value": "short", "user_id": USERS[0]}]},
    }  # fmt: skip


def flat(answers: dict[str, list], status: list[str]) -> dict:
    row = {"id": "r1", "status": "completed", "_server_id": "s1", **FIELDS}
    for question, values in answers.items():
        row[f"{question}.responses"] = values
        row[f"{question}.responses.users"] = USERS[: len(values)]
        row[f"{question}.responses.status"] = status
    return row


@pytest.mark.parametrize("what", ANSWERS)
def test_argillas_preferences_are_taken_from_rankings_and_labels(
    make, tmp_path: Path, what: str
) -> None:
    question, value, said = ANSWERS[what]
    path = tmp_path / "argilla.json"
    path.write_text(json.dumps([nested(question, value)]))
    with make.begin() as session:
        assert importing.import_judgments(session, path).added == 1
        assert verdicts(session) == {(f"argilla {USERS[0]}", said)}
        assert session.scalars(select(Judgment)).one().comment == "short"
        assert importing.import_judgments(session, path).known == 1
        done = importing.import_judgments(session, path, told=Told(suggestions=True))
        assert (done.added, done.known) == (1, 1)
        assert ("judge-2", said) in verdicts(session)


@pytest.mark.parametrize("name", ["argilla.jsonl", "argilla.parquet"])
def test_argillas_flat_records_with_two_ratings_leave_drafts_out(
    make, tmp_path: Path, name: str
) -> None:
    row = flat({"rating1": [2, 5], "rating2": [4, 1]}, ["submitted", "draft"])
    path = tmp_path / name
    write_rows(path, [row], (), name.split(".")[1])
    with make.begin() as session:
        done = importing.import_judgments(session, path)
        assert (done.added, dict(done.left_out)) == (1, {"draft there": 1})
        assert verdicts(session) == {(f"argilla {USERS[0]}", "No idea.")}
        pairs = importing.import_comparisons(session, path, batch="ask")
        assert pairs.added == 1


def test_several_questions_that_could_be_the_preference_are_asked_about(
    make, tmp_path: Path
) -> None:
    record = nested("preference", ["response2", "response1"])
    record["responses"]["better"] = [{"value": "response1", "user_id": USERS[0]}]
    path = tmp_path / "argilla.json"
    path.write_text(json.dumps([record]))
    with pytest.raises(ImportRefused, match="--field verdict=NAME"), make() as session:
        importing.import_judgments(session, path)
    with make.begin() as session:
        importing.import_judgments(session, path, told=Told(fields={"verdict": "better"}))
        assert verdicts(session) == {(f"argilla {USERS[0]}", "On its way.")}


def test_collected_problems_name_every_bad_row(make, tmp_path: Path) -> None:
    path = tmp_path / "j.csv"
    path.write_text("item_a,item_b,verdict\nx,y,a\nx,y,left\nx,y,b\n,y,a\n")
    problems = Problems(10)
    with make() as session:
        done = importing.import_judgments(session, path, told=Told(problems=problems))
        session.rollback()
    assert (done.added, problems.count) == (2, 2)
    assert "line 3: field verdict" in problems.found[0] and "line 5" in problems.found[1]
    with make() as session:
        assert session.scalar(select(func.count()).select_from(Judgment)) == 0

"""LLMFAO's files: verdicts of a crowd and of a judge on pairs of 59 models, and the pairs' texts.

``model_x`` is ``left`` and ``model_y`` is ``right`` (each of the 59 numbers has one name, the same
on either side), ``winner`` is the preferred side, and ``id`` names the same pair in all files.
Touches no database.
"""

import json
from pathlib import Path

from db.errors import ImportRefused
from db.files import read_lines
from db.import_pair_rows import Pair, Side, derived_token, placeholder
from db.import_rows import Judged
from db.lines import Line
from db.models import AnnotatorKind, BatchKind, Verdict
from db.prompts import messages_sha256

LLMFAO = "llmfao"
WINNERS = {"left": Verdict.A, "right": Verdict.B, "tie": Verdict.TIE}


def llmfao_judgments(
    lines: list[Line], batch: str, annotator: str | None, kind: AnnotatorKind
) -> list[Judged]:
    """The judgments of LLMFAO's crowd file (``worker``) or judge file (``annotator`` says who).

    Raises:
        ImportRefused: A row is malformed.
    """
    judged: list[Judged] = []
    for line in lines:
        winner = line.text("winner")
        if winner not in WINNERS:
            raise line.refuse("winner", f"{winner!r} is not left, right or tie")
        worker = line.optional("worker")
        who = f"{batch} worker {worker}" if worker is not None else annotator
        if who is None:
            raise line.refuse("worker", "is missing; say who judged with --annotator NAME")
        pair_id, label = line.text("id"), line.text("prompt")
        pair = Pair(
            batch=batch,
            batch_kind=BatchKind.IMPORTED,
            pair_id=pair_id,
            persona=None,
            persona_name=None,
            prompt=placeholder(batch, label),
            messages="[]",
            prompt_split="imported",
            prompt_source=f"{batch}: {label}",
            a=Side(line.short("left", line.text("left"), 160), source=batch),
            b=Side(line.short("right", line.text("right"), 160), source=batch),
            line=line.without_row(),
        )
        verdict = WINNERS[winner]
        judged.append(
            Judged(
                pair=pair,
                line=line.without_row(),
                token=derived_token(batch, pair_id, who, winner),
                verdict=verdict,
                strength=None if verdict is Verdict.TIE else 1,
                placement=1,
                weight=1.0,
                annotator=line.short("worker", who, 120),
                annotator_kind=AnnotatorKind.HUMAN if worker is not None else kind,
                created_at=None,
                source=f"import {line.file.name}",
                external_id=pair_id,
                dwell_ms=None,
                comment=None,
                tags=[],
                answers={},
                flag=None,
                retracted=None,
                retracted_at=None,
            )
        )
    return judged


def llmfao_pairs(
    lines: list[Line], batch: str, persona: str | None, names: dict[str, str]
) -> list[Pair]:
    """The pairs of LLMFAO's text file, with the models' names.

    Raises:
        ImportRefused: A row is malformed.
    """
    pairs: list[Pair] = []
    for line in lines:
        sides: list[Side] = []
        for which in ("x", "y"):
            number = line.text(f"model_{which}")
            if number not in names:
                raise line.refuse(f"model_{which}", f"{number} has no name in the --names file")
            text = line.text(f"result_{which}", "")
            sides.append(Side(names[number], text=text, source=batch))
        messages = [{"role": "user", "content": line.text("text")}]
        pairs.append(
            Pair(
                batch=batch,
                batch_kind=BatchKind.IMPORTED,
                pair_id=line.text("id"),
                persona=persona,
                persona_name=None,
                prompt=messages_sha256(messages),
                messages=json.dumps(messages, ensure_ascii=False),
                prompt_split="imported",
                prompt_source=f"{batch}: {line.text('prompt')}",
                a=sides[0],
                b=sides[1],
                line=line.without_row(),
            )
        )
    return pairs


def llmfao_names(path: Path, names: Path | None) -> dict[str, str]:
    """The models' names by number, from a judgments file given or found beside the pairs.

    Raises:
        ImportRefused: There is none, or it gives a number two names.
    """
    beside = [path.parent / f"llmfao_crowd.csv{end}" for end in (".gz", "")]
    chosen = names or next((each for each in beside if each.is_file()), None)
    if chosen is None:
        raise ImportRefused(
            f"{path}: names its models by number; give the judgments file, which has their names,"
            " with --names llmfao_crowd.csv.gz (nothing was imported)"
        )
    found: dict[str, str] = {}
    for line in read_lines(chosen):
        for number, side in (("model_x", "left"), ("model_y", "right")):
            name = line.text(side)
            if found.setdefault(line.text(number), name) != name:
                raise line.refuse(side, f"model {line.text(number)} has two names")
    return found

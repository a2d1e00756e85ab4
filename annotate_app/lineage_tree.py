"""An adapter's lineage as HTML: a card an adapter, its parents below, each step in words.

Knows the values of ``db.lineage.tree`` and how they read. Knows no database and no Streamlit. Names
and ids may come from anybody's file: every text is escaped.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from annotate_app.words import ago, many, plain

Node = Mapping[str, Any]
Names = Mapping[str, str]
SHOWN = 5
"""Annotators and batches named in a line; the others are counted."""
DEEPEST = 30
"""Generations drawn; a longer line says how it goes on."""
ACTS = {"promoted": "Promoted", "rejected": "Not promoted"}


def tree_html(node: Node, names: Names, now: Sequence[str]) -> str:
    """The tree, the adapter first and what it comes from below.

    Args:
        node: as ``db.lineage.tree`` gives it.
        names: adapter id to short name, where it has one.
        now: ids of the adapters that answer now.
    """
    return f'<ol class="pl-tree">{_branch(node, names, frozenset(now), 0)}</ol>'


def learned_words(taken: Node | None) -> str:
    """From what an adapter learned, for the page's finding."""
    if not taken:
        return "was made without judgments of its own"
    return f"learned from {many(taken['judgments'], 'judgment')} by" + (
        f" {many(taken['annotators'], 'annotator')}"
    )


def _branch(node: Node, names: Names, now: frozenset[str], depth: int) -> str:
    parents = list(node.get("parents", ()))
    inside = _card(node, names, now)
    if "kind" not in node:
        return f"<li>{inside}</li>"
    if depth >= DEEPEST:
        return f"<li>{inside}<p>… and so on, further back.</p></li>"
    if not parents:
        base = _text(node.get("base_model") or "a base model that nobody named")
        told = f'<p class="pl-tree-head">Base model</p><p>{base}'
        card = (
            f'<div class="pl-tree-card">{told} {_digest(node.get("base_model_sha256"))}</p></div>'
        )
        return f'<li>{inside}<ol class="pl-tree"><li>{card}</li></ol></li>'
    below = "".join(_branch(parent, names, now, depth + 1) for parent in parents)
    kind = "pl-tree" if len(parents) == 1 else "pl-tree pl-tree-several"
    return f'<li>{inside}<ol class="{kind}">{below}</ol></li>'


def _card(node: Node, names: Names, now: frozenset[str]) -> str:
    one = str(node.get("id", "?"))
    head = _link(one, names) + (f" <code>{_text(one)}</code>" if one in names else "")
    marks = [str(node.get("kind", "not in this ledger"))]
    weight = node.get("weight")
    if weight not in (None, 1, 1.0):
        marks.append(f"weight {weight:g}")
    if one in now:
        marks.append("answers now")
    if node.get("without"):
        marks.append("COUNTERFACTUAL, never answers")
    told = "".join(f'<span class="pl-mark">{_text(mark)}</span>' for mark in marks)
    rows = "".join(f"<dt>{title}</dt><dd>{said}</dd>" for title, said in _steps(node, names))
    steps = f'<dl class="pl-steps">{rows}</dl>' if rows else ""
    return f'<div class="pl-tree-card"><p class="pl-tree-head">{head} {told}</p>{steps}</div>'


def _steps(node: Node, names: Names) -> list[tuple[str, str]]:
    steps: list[tuple[str, str]] = []
    if node.get("without"):
        steps.append(("Without", _text(", ".join(node["without"]))))
    taken, run = node.get("snapshot"), node.get("run")
    if taken:
        steps.append(("Judgments", _judgments(taken)))
        steps.append(("Snapshot", f"{taken['id']}, {_digest(taken['sha256'])}"))
    if run:
        steps.append(("Run", _run(run, names)))
    if node.get("sha256"):
        steps.append(("Weights", _digest(node["sha256"])))
    steps += [("Blind", _blind(each, names)) for each in node.get("comparisons", ())]
    steps += [("Alias", _alias(each, names)) for each in node.get("aliases", ())]
    others = node.get("counterfactuals", ())
    if others:
        links = ", ".join(_link(each, names) for each in others)
        steps.append(("What if", links))
    return steps


def _judgments(taken: Node) -> str:
    who = _named(taken["by_annotator"], "annotator")
    where = _named(taken["by_batch"], "batch")
    return f"{taken['judgments']:,} by {who}; in {where}{_not_people(taken['by_kind'])}"


def _not_people(counts: Mapping[str, int]) -> str:
    return "".join(
        f' <span class="pl-mark">{_text(kind.upper())} {n:,}</span>'
        for kind, n in counts.items()
        if n and kind != "human"
    )


def _named(counts: Sequence[Node], name: str) -> str:
    told = [f"{_text(each[name])}&nbsp;{each['judgments']:,}" for each in counts[:SHOWN]]
    left = len(counts) - SHOWN
    return ", ".join([*told, *([f"{left:,} more"] if left > 0 else [])])


def _run(run: Node, names: Names) -> str:
    config = run.get("config") or {}
    shown = ("loss", "beta", "learning_rate", "epochs", "seed", "annotator_weights")
    told = ", ".join(f"{key.replace('_', ' ')} {config[key]}" for key in shown if key in config)
    parts = [f"{run['id']}"]
    if run.get("reference"):
        parts.append(f"from {_name(str(run['reference']), names)}")
    for title, key in (("key", "key"), ("code", "code_sha256")):
        if run.get(key):
            parts.append(f"{title} {_digest(run[key])}")
    return ", ".join(parts) + (f"<br><small>{_text(told)}</small>" if told else "")


def _blind(each: Node, names: Names) -> str:
    against = _link(str(each["against"]), names)
    if each["win_rate"] is None:
        said = "not judged yet" if not each["judgments"] else "nobody preferred either"
    else:
        low, high = 100 * each["ci_low"], 100 * each["ci_high"]
        said = f"<strong>{100 * each['win_rate']:.0f} %</strong>, {low:.0f} to {high:.0f}"
    counts = (
        f"{each['wins']} won, {each['losses']} lost, {many(each['ties'], 'tie')},"
        f" {each['both_bad']} both bad"
    )
    decided = ""
    if each["decided"]:
        act = ACTS.get(each["decided"], each["decided"])
        decided = f". {act}: {_name(str(each['challenger']), names)}"
    return f"{said} against {against}: {counts}{decided}{_not_people(each['by_kind'])}"


def _alias(each: Node, names: Names) -> str:
    other = f" {_link(str(each['other']), names)}" if each.get("other") else ""
    act = f"began to answer{' after' if other else ''}" if each["answers"] else "gave way to"
    return (
        f"{act}{other} {_text(ago(each['at']))}, by {_text(each['actor'])}"
        f"<br><small>{_text(each['reason'])}</small>"
    )


def _link(one: str, names: Names) -> str:
    where = f"lineage?adapter={quote(one)}"
    return f'<a class="pl-quiet-link" href="{where}">{_name(one, names)}</a>'


def _name(one: str, names: Names) -> str:
    name = names.get(one)
    return (
        f'<span title="{_text(one)}">{_text(name)}</span>' if name else f"<code>{_text(one)}</code>"
    )


def _digest(digest: object) -> str:
    if not digest:
        return ""
    return f'<code title="SHA-256 {_text(digest)}">{_text(digest)[:12]}…</code>'


def _text(text: object) -> str:
    return escape(" ".join(plain(str(text)).split()))

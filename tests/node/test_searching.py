import json
from dataclasses import replace

import pytest
from autoresearch.errors import Internal
from autoresearch.model import ExperimentState, SearchBasis, SearchFindings, SearchMatch
from node_builders import make_insight, make_summary

from node import insights, searching

CLASS = "cpu-toy/torch-2.13"


class FakeReader:
    """Answers as a coordinator's reader would."""

    def __init__(self, *matches, basis=SearchBasis.MEANING):
        self.found = SearchFindings(matches=matches, basis=basis)
        self.queries = []
        self.learned, self.insight_queries = (), []

    async def insights(self, query):
        self.insight_queries.append(query)
        return self.learned

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


async def test_insights_that_match_are_printed_beside_the_experiments(capsys, match):
    reader = FakeReader(match)
    reader.learned = (make_insight(text="a larger base\nhelps \x1b[2Jlong texts" + " very" * 300),)

    await search(reader, hardware_class=CLASS)

    out = capsys.readouterr().out
    assert "learned by others" in out
    assert "> a larger base" in out
    assert "> helps" in out
    assert "\x1b[2J" not in out
    assert "[cut]" in out
    query = reader.insight_queries[0]
    assert (query.text, query.hardware_class) == ("rope base", CLASS)


async def test_search_goes_on_without_insights(capsys, match):
    class OlderReader(FakeReader):
        async def insights(self, query):
            raise Internal("unknown method")

    await search(OlderReader(match))

    assert "0.91" in capsys.readouterr().out


async def test_insights_are_listed_quoted_or_as_json(capsys):
    reader = FakeReader()
    reader.learned = (make_insight(),)

    await insights.insights(reader, "", hardware_class="", limit=3, as_json=False)
    listed = capsys.readouterr().out
    await insights.insights(reader, "deep", hardware_class=CLASS, limit=3, as_json=True)
    printed = json.loads(capsys.readouterr().out)

    assert "  > deeper is slower" in listed
    assert printed[0]["text"] == "deeper is slower"
    assert printed[0]["experiment_ids"] == list(reader.learned[0].experiment_ids)
    assert [(query.text, query.limit) for query in reader.insight_queries] == [("", 3), ("deep", 3)]


async def test_nothing_learned_is_told(capsys):
    await insights.insights(FakeReader(), "", hardware_class="", limit=3, as_json=False)

    assert "Nothing has been learned yet." in capsys.readouterr().out

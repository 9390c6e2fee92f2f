"""Puts every hostile text into every place that strangers fill, and prints as JSON where any of it leaked.

    python scripts/bench/injections.py [PART...]

Parts: anthropic, command, mcp, search, notebook, terminal, trainer, swarm, gullible; all by default. The
last is a whole node whose model obeys whatever it reads. Exit code 1 where a text was found where it may not
be, or a secret anywhere. ``tests/injection`` runs the same, and parts that leak on purpose beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import structlog

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "injection"), str(ROOT / "tests" / "node")]

from corpus import CORPUS  # noqa: E402
from everything import parts_in  # noqa: E402
from slots import SLOTS  # noqa: E402
from watch import MARKER, Watch  # noqa: E402

LEAKS_SHOWN = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", nargs="*")
    given = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is the report's
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="injections-") as folder:
        home, parts = parts_in(Path(folder))
        unknown = sorted(set(given.parts) - parts.keys())
        if unknown:
            parser.error(f"there is no part {', '.join(unknown)}; choose from {', '.join(parts)}")
        watch = Watch(home.secrets)
        looks = {}
        for name, run in parts.items():
            if not given.parts or name in given.parts:
                before = watch.places.total()
                asyncio.run(run(watch))
                looks[name] = watch.places.total() - before
    families = Counter(hostile.family for hostile in CORPUS)
    report = {
        "texts": len(CORPUS),
        "families": dict(families),
        "slots": list(SLOTS),
        "texts_in_slots": len(CORPUS) * len(SLOTS),
        "seen_as_data": len(watch.reached),
        "secrets": len(home.secrets),
        "places": dict(sorted(watch.places.items())),
        "looks": looks,
        "looks_in_all": watch.places.total(),
        "leaks": len(watch.leaks),
        "texts_that_leaked": len({leak.what for leak in watch.leaks if MARKER.fullmatch(leak.what)}),
        "found": [asdict(leak) for leak in watch.leaks[:LEAKS_SHOWN]],
        "seconds": round(time.monotonic() - began_s, 1),
    }
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    sys.exit(1 if watch.leaks else 0)


if __name__ == "__main__":
    main()

"""The tiny challenges that attacks run on, and what lies about on the machine for them to find."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import climbmix_builders
import numpy as np
from autoresearch.challenge import write_challenge
from fake_hub import serving
from parts import HONEST_COUNTS
from tiny_challenge import tiny_folder, tiny_manifest

_LIMITS = (
    ("setup_s = 6", "setup_s = 60\nlaunch_s = 600"),
    ("train_wall_s = 5", "train_wall_s = 120"),
    ("eval_s = 8", "eval_s = 60"),
)
"""The machine of the tests may be slow; attacks are to fail for a better reason."""

_ARENAS = {
    "steps": 'kind = "steps"\nsteps = 20',
    "cpu": 'kind = "cpu"\nseconds = 1',
    "paced": 'kind = "cpu"\nseconds = 1\npace = "reference-step/1"',
}
SECRET = "the SECRET of the user\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Tells what one attack left behind from what others leave at the same time."""

    attack: str

    @property
    def name(self) -> str:
        return f"left-by-an-attack-{os.getpid()}-{re.sub('[^a-z]+', '-', self.attack.lower())}"

    @property
    def segment_key(self) -> int:
        return zlib.crc32(self.name.encode()) & 0x7FFF_FFFF

    def files_in(self, *folders: Path) -> list[Path]:
        """Files with this mark."""
        names = (self.name, f"{self.name}.*")
        return [path for folder in folders for name in names for path in folder.glob(name)]

    def segments(self) -> list[str]:
        """Ids of System V segments with this mark."""
        lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
        return [line.split()[1] for line in lines if int(line.split()[0]) == self.segment_key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """Folders of challenges by arena, the cache, and what ``@NAME@`` in a source stands for."""

    root: Path
    cache: Path
    home: Path
    folders: dict[str, Path]
    names: dict[str, str]

    def fill_in(self, source: str, mark: Mark) -> bytes:
        """A source with its names replaced."""
        names = self.names | {"MARK": mark.name, "SEGMENT": str(mark.segment_key)}
        for name, value in names.items():
            source = source.replace(f"@{name}@", value)
        return source.encode()


@contextlib.contextmanager
def prepared_grounds(root: Path) -> Iterator[Grounds]:
    """Challenges, secrets, servers and a victim, for the length of the block."""
    cache, home, other = root / "cache", root / "home", root / "tmp" / "autoresearch-run-other"
    for folder in (cache, home / ".ssh", other):
        folder.mkdir(parents=True)
    (home / ".ssh" / "id_ed25519").write_text(SECRET)
    (other / "notes.txt").write_text(SECRET)
    folders = {name: _folder(root / name, cache, budget) for name, budget in _ARENAS.items()}
    folders["hasty"] = _folder(root / "in-haste", cache, _ARENAS["cpu"], ("eval_s = 60", "eval_s = 3"))
    folders["brief"] = _folder(
        root / "briefly", cache, _ARENAS["cpu"], ("eval_s = 60", "eval_s = 60\neval_cpu_s = 1")
    )
    folders["shards"] = _shards_folder(root / "shards", cache)
    big_table = _big_table()
    with contextlib.ExitStack() as stack:
        victim, prey = (stack.enter_context(_victim()) for _ in range(2))
        port = stack.enter_context(_serving(socket.AF_INET, ("127.0.0.1", 0), big_table))
        path = str(root / "service.sock")
        stack.enter_context(_serving(socket.AF_UNIX, path, b"hello"))
        abstract = f"service-of-{os.getpid()}"
        stack.enter_context(_serving(socket.AF_UNIX, f"\0{abstract}", b"hello"))
        names = {
            "CACHE": cache,
            "HOME": home,
            "OTHER_SCRATCH": other,
            "VICTIM": victim,
            "PREY": prey,
            "PORT": port,
            "UNIX": path,
            "ABSTRACT": abstract,
        }
        texts = {name: str(value) for name, value in names.items()}
        texts["BIG_TABLE"] = _source_with(big_table)
        yield Grounds(root=root, cache=cache, home=home, folders=folders, names=texts)


def _folder(folder: Path, cache: Path, budget: str, *more: tuple[str, str]) -> Path:
    folder.mkdir()
    tiny_folder(folder, cache, budget=budget, source=HONEST_COUNTS)
    manifest = folder / "challenge.toml"
    text = manifest.read_text()
    for old, new in (*_LIMITS, *more):
        assert old in text
        text = text.replace(old, new)
    manifest.write_text(text)
    return folder


def _shards_folder(folder: Path, cache: Path) -> Path:
    """A challenge whose validation text is the same for all and lies in the cache."""
    manifest = climbmix_builders.MANIFEST.replace("rows = 2\n", "rows = 24\n").replace(
        "setup_s = 60", "setup_s = 6"
    )
    with serving(climbmix_builders.small_hub()) as endpoint:
        write_challenge(climbmix_builders.freeze(endpoint, cache, manifest), folder)
    return folder


def _big_table() -> bytes:
    """A table float32 [V, V] of log-probabilities from ten times the training text."""
    from autoresearch.challenge import parse_challenge

    from trainer.language import Lexicon, text_of
    from trainer.word_pieces import learn_pieces

    challenge = parse_challenge(tiny_manifest(_ARENAS["steps"]), HONEST_COUNTS, "")
    lexicon = Lexicon(challenge.corpus["lexicon_seed"])
    sample = text_of(lexicon, challenge.corpus["train_seed"], challenge.corpus["train_bytes"])
    size = challenge.tokenizer["sample_bytes"]
    tokenizer = learn_pieces(sample[:size].decode("utf-8", errors="ignore"), challenge.vocab_size)
    tokens = tokenizer.encode(text_of(lexicon, 99, 600_000).decode("utf-8")).astype(np.int64)
    counts = np.full((challenge.vocab_size,) * 2, 0.05, dtype=np.float64)
    np.add.at(counts, (tokens[:-1], tokens[1:]), 1.0)
    return np.log(counts / counts.sum(1, keepdims=True)).astype("<f4").tobytes()


def _source_with(table: bytes) -> str:
    """A ``train.py`` that carries a table; as text it is far longer than is allowed."""
    coded = base64.b85encode(table).decode()
    return (
        "import base64, numpy, torch\n"
        f"TABLE = {coded!r}\n"
        "def train(ctx):\n"
        "    ctx.start()\n"
        "    given = numpy.frombuffer(base64.b85decode(TABLE), 'float32')\n"
        "    table = torch.from_numpy(given.reshape(ctx.vocab_size, ctx.vocab_size).copy())\n"
        "    return lambda ids: table[ids]\n"
    )


@contextlib.contextmanager
def _victim() -> Iterator[int]:
    """A process of the user's that does nothing."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"]) as process:
        try:
            yield process.pid
        finally:
            process.kill()


@contextlib.contextmanager
def _serving(family: int, address: object, answer: bytes) -> Iterator[int | str]:
    """A server that gives every caller the same bytes; its port or path."""
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.bind(address)
        server.listen()
        server.settimeout(0.2)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                with contextlib.suppress(TimeoutError, OSError):
                    caller, _address = server.accept()
                    with caller:
                        caller.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            name = server.getsockname()
            yield name[1] if isinstance(name, tuple) else name
        finally:
            over.set()
            thread.join()

"""Texts as vectors whose cosine says how near they are in meaning: what is needed, and the usual model.

The model runs in a process of its own. Importing and loading it holds the interpreter's lock for seconds,
which in this process would stop every call, and a crash of its libraries ends that process alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import multiprocessing
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from autoresearch.model import ExperimentId

from coordinator.dedup.processes import begin_worker

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Pipe: TypeAlias = "Connection[Any, Any]"
Encode: TypeAlias = "Callable[[list[str]], NDArray[np.float32]]"

WEIGHTS_FILE = "model.safetensors"
"""No other form of weights is read: a pickle could run code."""
DIGEST_SHOWN_CHARS = 16
REASON_LIMIT_CHARS = 300
END_LIMIT_S = 2.0
QUIETLY = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_VERBOSITY": "critical",
    "TRANSFORMERS_VERBOSITY": "critical",
    "TOKENIZERS_PARALLELISM": "false",
}
"""The hub's client tells of each retry; what comes of them is told once, in the coordinator's words."""

MISSING = "{} is missing; run: pip install 'autoresearch-swarm[embeddings]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingModel:
    """Which model makes the vectors: those of two models are not compared."""

    name: str
    revision: str
    dimension: int

    @property
    def model_id(self) -> str:
        """What is stored with each vector."""
        return f"{self.name}@{self.revision}"


class Near(NamedTuple):
    """A tried experiment and the cosine of its words with those asked about."""

    experiment_id: ExperimentId
    similarity: float


class EmbedderUnavailable(Exception):
    """The model cannot be had, and why. ``is_final``: trying again later would not help."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


class Embedder(Protocol):
    """Makes vectors; one call at a time, never on the event loop."""

    async def load(self) -> EmbeddingModel:
        """Makes the model ready; again after it has failed. Raises EmbedderUnavailable."""

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The texts as rows of length 1, float32 ``[texts, dimension]``. Raises EmbedderUnavailable."""

    async def close(self) -> None:
        """Ends what ``load`` has started."""


class SentenceTransformerEmbedder:
    """A model of sentence-transformers, by its name and revision on the hub or as a folder.

    A folder's revision is the digest of its weights, so that two machines that hold the same model share
    their vectors wherever it lies.
    """

    def __init__(self, model: str, revision: str) -> None:
        self._model = model
        self._revision = revision
        self._process: SpawnProcess | None = None
        self._pipe: Pipe | None = None

    async def load(self) -> EmbeddingModel:
        for package in ("sentence_transformers", "numpy"):
            if importlib.util.find_spec(package) is None:
                raise EmbedderUnavailable(MISSING.format(package), is_final=True)
        await self.close()
        # Spawned, never forked: this process runs gRPC threads.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        process = context.Process(
            target=_serve, args=(theirs, self._model, self._revision), name="embedder", daemon=True
        )
        try:
            process.start()
        except OSError as error:
            raise EmbedderUnavailable(f"its process cannot be started ({error})") from error
        finally:
            theirs.close()  # so that its end is noticed
        self._process = process
        model: EmbeddingModel = await self._answer()
        return model

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self._pipe is None:
            raise EmbedderUnavailable("the model is not loaded")
        try:
            self._pipe.send(list(texts))
        except OSError as error:
            raise EmbedderUnavailable(f"its process has ended ({error})") from error
        vectors: NDArray[np.float32] = await self._answer()
        return vectors

    async def close(self) -> None:
        process, pipe = self._process, self._pipe
        self._process = self._pipe = None
        if pipe is not None:
            pipe.close()  # which ends a process that waits for texts
        if process is not None:
            await asyncio.to_thread(process.join, END_LIMIT_S)
            process.kill()  # one that loads may hang on a network, and has nothing to lose
            await asyncio.to_thread(process.join)

    async def _answer(self) -> Any:
        if self._pipe is None:
            raise EmbedderUnavailable("the model is not loaded")
        try:
            answer = await asyncio.to_thread(self._pipe.recv)
        except (EOFError, OSError) as error:
            raise EmbedderUnavailable("its process has ended") from error
        if isinstance(answer, _Failure):
            raise EmbedderUnavailable(answer.reason)
        return answer


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why there is no answer: errors of the model's libraries may not survive the way back."""

    reason: str


def _serve(pipe: Pipe, name: str, revision: str) -> None:
    """The life of the model's process: it loads, then answers lists of texts."""
    begin_worker()
    try:
        encode, model = _load(name, revision)
        pipe.send(model)
        while True:
            pipe.send(encode(pipe.recv()))
    except (EOFError, ConnectionError):
        return  # nobody wants an answer any more
    except Exception as error:  # noqa: BLE001  (the edge of a process)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        pipe.send(_Failure(reason[:REASON_LIMIT_CHARS]))


def _load(name: str, revision: str) -> tuple[Encode, EmbeddingModel]:
    for variable, value in QUIETLY.items():
        os.environ.setdefault(variable, value)
    import torch  # noqa: PLC0415  (seconds, and only in this process)
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415
    from transformers.utils import logging  # noqa: PLC0415

    logging.disable_progress_bar()
    torch.set_num_threads(1)  # the other cores are the event loop's and the store's
    folder = Path(name)
    is_folder = folder.is_dir()
    model = SentenceTransformer(
        name,
        revision=None if is_folder else revision,
        device="cpu",
        local_files_only=is_folder,
        model_kwargs={"use_safetensors": True},
    )

    def encode(texts: list[str]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = model.encode(
            texts, batch_size=len(texts), normalize_embeddings=True, show_progress_bar=False
        )
        return vectors

    dimension = encode(["the first text warms the model up"]).shape[1]
    if is_folder:
        name, revision = folder.resolve().name, _digest(folder / WEIGHTS_FILE)
    return encode, EmbeddingModel(name=name, revision=revision, dimension=dimension)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()[:DIGEST_SHOWN_CHARS]

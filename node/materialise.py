"""Makes a challenge that came over the wire a folder that the trainer can run, and gets its tokens ready."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from autoresearch.challenge import (
    Challenge,
    ChallengeError,
    load_challenge,
    parse_challenge,
    write_challenge,
)
from autoresearch.errors import ChallengeUnfrozen, InvalidArgument
from autoresearch.model import ChallengeText, ServerInfo

from node.training.processes import run_group
from node.training.runner import minimal_environment

PREPARE_LIMIT_S = 6 * 3600.0
"""A first download of shards may take hours; it resumes if it is interrupted."""

DOWNLOAD_VARIABLES = (
    "HF_ENDPOINT",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
)
TRAINER_ARGV = (sys.executable, "-m", "trainer")


class PrepareError(Exception):
    """The challenge's tokens could not be made ready; the message says why."""


def find_hosted(info: ServerInfo, wanted: str) -> ChallengeText | None:
    """The hosted challenge of a name or id, the first one for none; None if it is not hosted."""
    for text in info.challenges:
        if wanted in ("", text.name, text.challenge_id):
            return text
    return None


def materialise(text: ChallengeText, folder: Path) -> Challenge:
    """The challenge of a session as a folder, checked against its id.

    Raises:
        InvalidArgument: The texts are no challenge, or not the one that their id names.
        ChallengeUnfrozen: It has no hashes yet.
    """
    try:
        challenge = parse_challenge(text.manifest_toml, text.baseline_source, text.program_md)
    except ChallengeError as error:
        raise InvalidArgument(f"the coordinator's challenge {text.name!r} cannot be read: {error}") from error
    if challenge.challenge_id != text.challenge_id:
        raise InvalidArgument(
            f"the coordinator calls its challenge {text.challenge_id}, but the texts that it sent make "
            f"{challenge.challenge_id}; its results would not be comparable, so this node does not join"
        )
    if not challenge.frozen:
        raise ChallengeUnfrozen(
            f"challenge {challenge.name} has no hashes yet; ask its operator to freeze it"
        )
    target = folder / challenge.challenge_id
    if not _is_there(challenge, target):
        write_challenge(challenge, target)
    return challenge


async def prepare(
    challenge_dir: Path, *, environ: Mapping[str, str], argv: tuple[str, ...] = TRAINER_ARGV
) -> None:
    """Builds or downloads the tokens; quick where they are there. Raises PrepareError."""
    ended = await run_group(
        [*argv, "prepare", "--challenge", str(challenge_dir)],
        cwd=challenge_dir,
        env=minimal_environment(environ, *DOWNLOAD_VARIABLES),
        timeout_s=PREPARE_LIMIT_S,
        shows_stderr=True,
    )
    if ended.is_timeout:
        raise PrepareError(f"preparing took over {PREPARE_LIMIT_S / 3600:.0f} hours; run it again to resume")
    if ended.returncode != 0:
        raise PrepareError(
            f"the challenge could not be prepared (exit code {ended.returncode}); "
            "run `autoresearch-node doctor` to see what is missing"
        )


def _is_there(challenge: Challenge, folder: Path) -> bool:
    try:
        return load_challenge(folder) == challenge
    except ChallengeError:
        return False

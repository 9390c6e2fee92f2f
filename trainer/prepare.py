"""Getting a challenge's tokens onto this machine, and freezing a manifest to the hashes of what was built."""

from __future__ import annotations

from pathlib import Path

from autoresearch.challenge import (
    MANIFEST_NAME,
    Challenge,
    ChallengeError,
    find_challenge,
    load_challenge,
    parse_challenge,
)

from trainer.corpora import CorpusError, Progress, find_corpus


def prepare(challenge: Challenge, cache_dir: Path, say: Progress) -> None:
    """Build or download what the challenge needs; idempotent.

    Raises:
        ChallengeError: the challenge is not frozen, so there is nothing to check against.
        CorpusError: it cannot be done; the message says why and what to do.
    """
    if not challenge.frozen:
        raise ChallengeError(
            f"challenge {challenge.name} is not frozen: its manifest has no hashes yet; run "
            f"`python -m trainer prepare --challenge {challenge.name} --freeze` on a machine with the sources"
        )
    find_corpus(challenge).prepare(challenge, cache_dir, say)


def freeze(name_or_path: str, cache_dir: Path, say: Progress) -> Challenge:
    """Build everything from its sources, write the true hashes into the manifest, and prepare the result.

    Raises:
        ChallengeError, CorpusError: see ``prepare``; the manifest is left as it was.
    """
    folder = find_challenge(name_or_path)
    challenge = load_challenge(folder)
    if challenge.frozen:
        raise ChallengeError(
            f"challenge {challenge.name} is frozen already as {challenge.challenge_id}; copy its folder and "
            "set frozen = false to make another one"
        )
    text = find_corpus(challenge).freeze(challenge, cache_dir, say)
    frozen = parse_challenge(text, challenge.baseline_source, challenge.program_md)
    if not frozen.frozen:
        raise CorpusError(
            f"freezing {challenge.name} gave a manifest that is not frozen; nothing was written"
        )
    manifest = folder / MANIFEST_NAME
    temporary = manifest.with_suffix(".part")
    try:
        temporary.write_bytes(text.encode("utf-8"))
        temporary.replace(manifest)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CorpusError(f"cannot write {manifest}: {error.strerror}") from error
    say(f"froze {frozen.name} as {frozen.challenge_id}")
    prepare(frozen, cache_dir, say)
    return frozen

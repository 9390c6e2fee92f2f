"""What a program.md is called: equal for the same text, whoever has it."""

from __future__ import annotations

import hashlib

from autoresearch.model import ProgramHash

_HEX_DIGITS = 32


def program_hash(text: str) -> ProgramHash:
    """``p_`` and 32 hexadecimal digits: 128 bits of the SHA-256 of the text, whatever its line ends are."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n").strip() + "\n"
    return ProgramHash("p_" + hashlib.sha256(plain.encode()).hexdigest()[:_HEX_DIGITS])

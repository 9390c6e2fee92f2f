"""All attacks and controls by name."""

from __future__ import annotations

import cheats_answer
import cheats_budget
import cheats_process
import cheats_sight
import cheats_texts
import escapes_files
import escapes_kernel
import escapes_processes
import escapes_resources
from attack import Attack
from controls import CONTROLS

CHEATS = (
    *cheats_process.CHEATS,
    *cheats_sight.CHEATS,
    *cheats_budget.CHEATS,
    *cheats_answer.CHEATS,
    *cheats_texts.CHEATS,
)
ESCAPES = (
    *escapes_files.ESCAPES,
    *escapes_processes.ESCAPES,
    *escapes_resources.ESCAPES,
    *escapes_kernel.ESCAPES,
)
ATTACKS: dict[str, Attack] = {attack.name: attack for attack in (*CHEATS, *ESCAPES)}
HONEST = {control.name: control for control in CONTROLS}

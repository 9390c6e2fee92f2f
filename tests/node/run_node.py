"""``autoresearch-node solo`` with the fake trainer, as a process of its own."""

import sys
from pathlib import Path

from autoresearch.errors import SwarmError

from node.config import Config
from node.failures import Failed
from node.join import run_solo
from node.logs import set_up_logging

state_dir, challenge, *options = sys.argv[1:]
set_up_logging("text", "debug")
TRAINER = (sys.executable, "-S", "-E", str(Path(__file__).with_name("fake_trainer.py")))
limit = int(options[0]) if options else None
try:
    sys.exit(
        run_solo(
            Config(state_dir=Path(state_dir), challenge=challenge, max_experiments=limit),
            trainer_argv=TRAINER,
        )
    )
except (Failed, SwarmError) as error:
    sys.exit(f"error: {error}")

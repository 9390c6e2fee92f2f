"""``autoresearch-node solo`` with the fake trainer, as a process: STATE CHALLENGE [LIMIT|- [WORKERS]].

More settings come from the environment.
"""

import sys
from pathlib import Path

from autoresearch.errors import SwarmError

from node.config import load_config
from node.failures import Failed
from node.join import run_solo
from node.logs import set_up_logging

state_dir, challenge, *options = sys.argv[1:]
set_up_logging("text", "debug")
TRAINER = (sys.executable, "-S", "-E", str(Path(__file__).with_name("fake_trainer.py")))
limit = int(options[0]) if options and options[0] != "-" else None
workers = int(options[1]) if len(options) > 1 else 1
flags = {"state_dir": Path(state_dir), "challenge": challenge, "max_experiments": limit, "workers": workers}
try:
    sys.exit(run_solo(load_config(flags).config, trainer_argv=TRAINER))
except Failed as error:
    sys.stderr.write(f"error: {error}\n")
    sys.exit(error.exit_code)
except SwarmError as error:
    sys.exit(f"error: {error}")

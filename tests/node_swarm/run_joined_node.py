"""``autoresearch-node join`` with the fake trainer, as a process: HOST and the settings as JSON."""

import json
import sys
from pathlib import Path

from node.config import load_config
from node.failures import Failed
from node.join import run_joined
from node.logs import set_up_logging
from node.propose_only import run_proposer

host, settings = sys.argv[1], json.loads(sys.argv[2])
set_up_logging("text", "debug")
TRAINER = (sys.executable, "-S", "-E", str(Path(__file__).parents[1] / "node" / "fake_trainer.py"))
config = load_config({**settings, "state_dir": Path(settings["state_dir"]), "yes": True}).config
try:
    if config.propose_only:
        sys.exit(run_proposer(config, host))
    sys.exit(run_joined(config, host, trainer_argv=TRAINER))
except Failed as error:
    sys.stderr.write(f"error: {error}\n")
    sys.exit(error.exit_code)

"""``python -m node.worker``: one worker of a node with several, as its supervisor starts it.

The supervisor has asked for consent, checked in, tried the sandbox and prepared the challenge already.
"""

from __future__ import annotations

import sys

import structlog
from autoresearch.errors import SwarmError

from node.exit_codes import ExitCode, exit_code_of
from node.failures import Failed
from node.join import run_seat
from node.logs import set_up_logging
from node.order import read_order


def main() -> ExitCode:
    """The worker's whole life."""
    with open(0, "rb", buffering=0, closefd=False) as stdin:
        order = read_order(stdin)
        set_up_logging(order.config.log_format, order.config.log_level)
        structlog.contextvars.bind_contextvars(worker=order.seat)
        log = structlog.get_logger(__name__)
        try:
            return run_seat(order, stdin)
        except SwarmError as error:
            log.error("the worker ends", reason=error.message)  # noqa: TRY400 - the reason says it all
            return exit_code_of(error)
        except Failed as error:
            log.error("the worker ends", reason=str(error))  # noqa: TRY400 - see above
            return error.exit_code
        except KeyboardInterrupt:
            return ExitCode.INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())

"""Where things lie in a node's state dir."""

from __future__ import annotations

from pathlib import Path


def outbox_path(node_dir: Path) -> Path:
    """What the coordinator has not acknowledged."""
    return node_dir / "outbox.sqlite"


def challenges_dir(node_dir: Path) -> Path:
    """Challenges as the trainer runs them."""
    return node_dir / "challenges"


def solo_path(node_dir: Path, challenge_id: str) -> Path:
    """What was done and learned for one challenge, for going on alone."""
    return node_dir / "solo" / f"{challenge_id}.sqlite"


def solo_paths(node_dir: Path) -> list[Path]:
    """Those of all challenges that this node has worked on."""
    return sorted((node_dir / "solo").glob("*.sqlite"))


def runs_dir(node_dir: Path) -> Path:
    """Folders of trainings under way."""
    return node_dir / "runs"


def notebook_dir(node_dir: Path, challenge_name: str, challenge_id: str) -> Path:
    """The git repository for one challenge."""
    return node_dir / "notebooks" / f"{challenge_name}-{challenge_id[-8:]}"


def purse_path(node_dir: Path) -> Path:
    """What the node's agents have spent."""
    return node_dir / "purse.sqlite"


def lock_path(node_dir: Path) -> Path:
    """Held by the one node that works in this state dir."""
    return node_dir / "node.lock"


def socket_path(node_dir: Path) -> Path:
    """Where a running node takes its owner's commands."""
    return node_dir / "control.sock"


def worker_dir(node_dir: Path, seat: str) -> Path:
    """What one worker of several has for itself; the node's own folder where there is but one."""
    return node_dir / "workers" / seat if seat else node_dir


def pieces_path(node_dir: Path) -> Path:
    """How many pieces of work all workers have begun, where there is a limit."""
    return node_dir / "pieces.json"


def gpu_hours_path(node_dir: Path) -> Path:
    """How long this node has trained today."""
    return node_dir / "gpu_hours.json"

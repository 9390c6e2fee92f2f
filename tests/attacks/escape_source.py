"""What the sources of escapes share: a candidate that tries one thing, and layers that go together.

``@NAME@`` stands for what the runner fills in: a secret file, a listening port, a victim's process id. Each
attack knows all that it needs, so it fails for its defence alone.
"""

from __future__ import annotations

from attack import SUCCESS

FILE_LAYERS = ("file-view", "landlock", "other-user", "capped-scratch")
PROCESS_LAYERS = ("pid-namespace", "file-view", "landlock", "other-user", "seccomp")
NETWORK_LAYERS = ("network-namespace", "landlock", "seccomp")
EVERYTHING = ("sandbox",)
"""For what only root with all its powers can do."""


def trying(body: str, *, prelude: str = "") -> str:
    """A candidate whose ``attempt(ctx)`` has ``body``; it got out if that gives something true."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return f"""
import contextlib, ctypes, errno, fcntl, os, pathlib, signal, socket, struct, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)

def call(number, *given):
    # Longs: of a plain int that goes by the stack, as a sixth one does, half of the place is left as it was.
    longs = [ctypes.c_long(one) if isinstance(one, int) else one for one in given]
    result = libc.syscall(number, *longs)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

{prelude}
def attempt(ctx):
{lines}

def train(ctx):
    import torch
    try:
        got = attempt(ctx)
    except (OSError, subprocess.SubprocessError) as error:
        print("held:", error)
        got = None
    if got:
        print("{SUCCESS}", str(got)[:200], flush=True)
    ctx.start()
    V = ctx.vocab_size
    return lambda ids: torch.zeros(*ids.shape, V)
"""

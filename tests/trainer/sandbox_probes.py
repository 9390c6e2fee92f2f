"""A ``train.py`` that tries to get out in many ways and prints what it managed, and ways to run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tiny_challenge import tiny_folder

from trainer.sandbox import Layer

UNDEFENDED = Path(__file__).parent.parent / "attacks" / "undefended.py"

PROBES = r"""
import ctypes, errno, glob, json, os, platform, resource, signal, socket, sys, time
import torch

TOLD = json.loads(TOLD_JSON)
libc = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"
OUT = {}

def call(name, *arguments):
    number = TOLD["numbers"][name]
    ctypes.set_errno(0)
    result = libc.syscall(number, *arguments)
    return "ok" if result >= 0 else errno.errorcode[ctypes.get_errno()]

def attempt(action):
    try:
        found = action()
    except OSError as error:
        return errno.errorcode[error.errno] if error.errno else type(error).__name__
    return "ok" if found is None else found

def can_write(folder):
    path = os.path.join(folder, "written-by-a-probe")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    except OSError:
        return False
    os.unlink(path)
    return True

def sockets():
    families = dict(unix=1, inet=2, inet6=10, netlink=16, packet=17, vsock=40, alg=38, bluetooth=31)
    kinds = {"netlink": socket.SOCK_RAW, "packet": socket.SOCK_RAW, "alg": socket.SOCK_SEQPACKET,
             "bluetooth": socket.SOCK_RAW}
    found = {}
    for name, family in families.items():
        for kind in (kinds.get(name, socket.SOCK_STREAM), socket.SOCK_DGRAM):
            found[f"{name}/{int(kind)}"] = attempt(lambda: socket.socket(family, kind).close())
    found["pair"] = attempt(lambda: socket.socketpair()[0].close())
    return found

def connect(address, family):
    with socket.socket(family, socket.SOCK_STREAM) as one:
        one.connect(address)
        one.sendall(b"out")

def writable_folders():
    wanted = ["/", "/dev", "/etc", "/usr", "/usr/lib", "/opt", "/var/tmp", "/home", "/root"]
    wanted += ["/run", "/sys", "/proc"]
    wanted += [sys.prefix, sys.base_prefix, os.path.dirname(torch.__file__), os.path.dirname(TOLD["secret"])]
    return [folder for folder in wanted if can_write(folder)]

def trace_child():
    child = os.fork()
    if child == 0:
        time.sleep(100)
        os._exit(0)
    try:
        return call("ptrace", 16, child, 0, 0)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)

def spawn_many():
    children = []
    try:
        for _ in range(300):
            children.append(os.posix_spawn("/usr/bin/sleep", ["sleep", "100"], {}))
    except OSError:
        pass
    for child in children:
        os.kill(child, 9)
        os.waitpid(child, 0)
    return len(children)

def clone_with(flag):
    child = os.fork()
    if child == 0:
        os._exit(0 if call("clone", flag | 17, 0, 0, 0, 0) == "EPERM" else 9)
    return "EPERM" if os.waitpid(child, 0)[1] == 0 else "ok"

def fill(folder, limit_mb):
    written, names = 0, []
    try:
        for number in range(limit_mb):
            names.append(os.path.join(folder, f"fill-{number}"))
            with open(names[-1], "wb") as file:
                written += file.write(bytes(1 << 20))
    except OSError:
        pass
    for name in names:
        if os.path.exists(name):
            os.unlink(name)
    return written >> 20

def read_environ(pid):
    with open(f"/proc/{pid}/environ", "rb") as file:
        return file.read(100).decode("utf-8", "replace") or "empty"

def train(ctx):
    OUT["pid"] = os.getpid()
    OUT["uid"] = os.getuid()
    OUT["environ"] = sorted(os.environ)
    OUT["read secret"] = attempt(lambda: open(TOLD["secret"]).read())
    OUT["read passwd"] = attempt(lambda: open("/etc/passwd").close())
    OUT["list home"] = attempt(lambda: sorted(os.listdir(os.path.dirname(TOLD["secret"]))))
    OUT["list tokens"] = attempt(lambda: sorted(os.listdir(TOLD["tokens"])))
    OUT["environ of 1"] = attempt(lambda: read_environ(1))
    OUT["environ of parent"] = attempt(lambda: read_environ(os.getppid()))
    OUT["processes"] = len(glob.glob("/proc/[0-9]*"))
    OUT["sees harness"] = os.path.exists(f"/proc/{TOLD['test_pid']}/status") and attempt(
        lambda: open(f"/proc/{TOLD['test_pid']}/status").close())
    OUT["signal test"] = attempt(lambda: os.kill(TOLD["test_pid"], 0))
    OUT["signal parent"] = attempt(lambda: os.kill(os.getppid(), 0))
    OUT["queue to test"] = call("rt_sigqueueinfo", TOLD["test_pid"], 0, ctypes.create_string_buffer(128))
    OUT["sockets"] = sockets()
    OUT["tcp"] = attempt(lambda: connect(("127.0.0.1", TOLD["port"]), socket.AF_INET))
    OUT["abstract"] = attempt(lambda: connect("\0" + TOLD["abstract"], socket.AF_UNIX))
    OUT["ptrace"] = trace_child()
    OUT["process_vm_readv"] = call("process_vm_readv", TOLD["test_pid"], 0, 0, 0, 0, 0)
    OUT["unshare user"] = call("unshare", 0x10000000)
    OUT["unshare net"] = call("unshare", 0x40000000)
    for name, flag in dict(NEWUSER=0x10000000, NEWNS=0x20000, NEWNET=0x40000000).items():
        OUT[f"clone {name}"] = clone_with(flag)
    OUT["clone3"] = call("clone3", 0, 0)
    OUT["mount"] = call("mount", b"none", b"/scratch", b"tmpfs", 0, 0)
    for name in ("bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "keyctl", "add_key", "setns",
                 "pidfd_open", "kcmp", "open_by_handle_at", "personality", "memfd_create", "shmget",
                 "sched_setaffinity", "swapon", "reboot", "init_module", "kexec_load", "quotactl", "mq_open",
                 "pidfd_getfd", "name_to_handle_at", "mknodat", "chroot", "pivot_root", "statmount"):
        OUT[name] = call(name, 0, 0, 0, 0, 0)
    OUT["call from the future"] = "ok" if libc.syscall(1000) >= 0 else errno.errorcode[ctypes.get_errno()]
    OUT["writable"] = writable_folders()
    OUT["writes to scratch"] = can_write(str(ctx.scratch))
    for path in ("/proc/self/oom_score_adj", "/proc/sys/kernel/core_pattern", "/proc/1/oom_score_adj"):
        OUT[f"write {path}"] = attempt(lambda: os.close(os.open(path, os.O_WRONLY)))
    OUT["chmod secret"] = attempt(lambda: os.chmod(TOLD["secret"], 0o600))
    OUT["spawned"] = spawn_many()
    OUT["scratch mb"] = fill(str(ctx.scratch), 100) if TOLD["fills"] else None
    OUT["core limit"] = resource.getrlimit(resource.RLIMIT_CORE)[1]
    OUT["no new privileges"] = libc.prctl(39, 0, 0, 0, 0)
    OUT["capabilities"] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")]
    OUT["filtered"] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("Seccomp:")]
    OUT["links"] = {place: os.readlink(place) for place in ("/tmp", "/dev/shm") if os.path.islink(place)}
    print("PROBES " + json.dumps(OUT))
    raise ValueError("probed")
"""

NUMBERS = (
    "rt_sigqueueinfo ptrace process_vm_readv unshare clone clone3 mount bpf perf_event_open userfaultfd "
    "io_uring_setup keyctl add_key setns pidfd_open kcmp open_by_handle_at personality memfd_create shmget "
    "sched_setaffinity swapon reboot init_module kexec_load quotactl mq_open pidfd_getfd name_to_handle_at "
    "mknodat chroot pivot_root statmount"
)


class Arena:
    """A folder that other users may read, with a challenge, its tokens, and a secret beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.chmod(0o755)
        self.cache = folder / "cache"
        (folder / "challenge").mkdir()
        (folder / "out").mkdir()
        (folder / "out").chmod(0o777)
        self.challenge = tiny_folder(folder / "challenge", self.cache, budget='kind = "steps"\nsteps = 20')
        self.secret = folder / "home" / "secret"
        self.secret.parent.mkdir()
        self.secret.write_text("do not tell")
        self.secret.chmod(0o644)

    def run(
        self,
        name: str,
        source: str,
        *arguments: str,
        without: frozenset[Layer] = frozenset(),
        as_user: bool = False,
    ) -> dict:
        """The report of one source, held but for the layers that are left out."""
        train = self.folder / f"{name}.py"
        train.write_text(source)
        train.chmod(0o644)
        program = [str(UNDEFENDED), ",".join(sorted(without))] if without else ["-m", "trainer"]
        command = [sys.executable, *program, "run", "--challenge", str(self.challenge)]
        command += ["--train", str(train), "--out", "-", "--seed", "1", "--val-seed", "5", *arguments]
        done = subprocess.run(
            [*(as_other_user() if as_user else ()), *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=170,
            cwd="/",
            env={
                **os.environ,
                "AUTORESEARCH_CACHE_DIR": str(self.cache),
                "HOME": str(self.folder / "out"),
                "TMPDIR": str(self.folder / "out"),
                "SECRET_OF_THE_NODE": "do not tell",
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONPATH": str(Path(__file__).parent),
            },
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@contextmanager
def arena() -> Iterator[Arena]:
    """An arena that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="arena-") as folder:
        yield Arena(Path(folder))


def as_other_user() -> list[str]:
    """What makes a command run as nobody, who then finds the interpreter although root's home is closed.

    Nothing where the tests run as a normal user: that is what is wanted.
    """
    if os.getuid() != 0:
        return []
    above = [str(parent) for parent in reversed(Path(sys.base_prefix).parents) if parent != Path("/")]
    closed = [folder for folder in above if not Path(folder).stat().st_mode & 0o001]
    opened = ["--tmpfs", closed[0]] if closed else []
    if closed:
        opened += [
            word for folder in above for word in ("--dir", folder) if Path(folder).is_relative_to(closed[0])
        ]
        opened += ["--ro-bind", sys.base_prefix, sys.base_prefix]
        opened += [w for f in above if Path(f).is_relative_to(closed[0]) for w in ("--chmod", "0755", f)]
    change = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    return ["bwrap", "--dev-bind", "/", "/", *opened, *change]


def read_probes(report: dict) -> dict:
    """What the probes printed."""
    line = next((line for line in report["log_tail"].splitlines() if line.startswith("PROBES ")), None)
    assert line is not None, (report["reason"], report["log_tail"])
    return json.loads(line.removeprefix("PROBES "))

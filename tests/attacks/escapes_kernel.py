"""Attacks through sockets of all families and rare system calls."""

# ruff: noqa: E501 - the sources of candidates are clearer unbroken
from __future__ import annotations

from attack import Escape, Harmless
from escape_source import EVERYTHING, FILE_LAYERS, NETWORK_LAYERS, trying


def _connecting(family: str, address: str, kind: str = "SOCK_STREAM") -> str:
    return trying(
        f"with socket.socket(socket.{family}, socket.{kind}) as channel:\n"
        f"    channel.settimeout(3)\n    channel.connect({address})\n    return True"
    )


def _opening(*arguments: str) -> str:
    return trying(f"with socket.socket({', '.join(arguments)}) as channel:\n    return True")


NETWORK = (
    Escape(
        name="TCP over IPv4",
        tries="connects to a server on this machine",
        defence="network namespace; seccomp; Landlock",
        source=_connecting("AF_INET", "('127.0.0.1', @PORT@)"),
        expected=Harmless(),
        without=NETWORK_LAYERS,
    ),
    Escape(
        name="TCP over IPv6",
        tries="opens a socket of IPv6",
        defence="seccomp",
        source=_opening("socket.AF_INET6", "socket.SOCK_STREAM"),
        expected=Harmless(),
        without=NETWORK_LAYERS,
    ),
    Escape(
        name="UDP",
        tries="sends a datagram (which Landlock does not watch)",
        defence="network namespace; seccomp",
        source=_connecting("AF_INET", "('127.0.0.1', @PORT@)", "SOCK_DGRAM"),
        expected=Harmless(),
        without=NETWORK_LAYERS,
    ),
    Escape(
        name="unix socket by path",
        tries="connects to a service of the user by its path",
        defence="a view of files; seccomp",
        source=_connecting("AF_UNIX", "'@UNIX@'"),
        expected=Harmless(),
        without=(*NETWORK_LAYERS, *FILE_LAYERS),
    ),
    Escape(
        name="abstract unix socket",
        tries="connects to a service that has no file",
        defence="network namespace; seccomp; Landlock",
        source=_connecting("AF_UNIX", "chr(0) + '@ABSTRACT@'"),
        expected=Harmless(),
        without=NETWORK_LAYERS,
    ),
    Escape(
        name="netlink",
        tries="asks the kernel about the network",
        defence="seccomp",
        source=_opening("socket.AF_NETLINK", "socket.SOCK_RAW"),
        expected=Harmless(),
        without=NETWORK_LAYERS,
    ),
    Escape(
        name="packet socket",
        tries="listens on the wire",
        defence="seccomp; no capabilities",
        source=_opening("socket.AF_PACKET", "socket.SOCK_RAW", "socket.htons(3)"),
        expected=Harmless(),
        without=EVERYTHING,
        needs_root=True,
    ),
    Escape(
        name="vsock",
        tries="opens a channel to the host of this virtual machine",
        defence="seccomp",
        source=_opening("socket.AF_VSOCK", "socket.SOCK_STREAM"),
        expected=Harmless(),
        without=NETWORK_LAYERS,
    ),
    Escape(
        name="io_uring",
        tries="opens a ring, whose operations no system call filter sees",
        defence="seccomp",
        source=trying("return call(425, 8, ctypes.create_string_buffer(256))"),
        expected=Harmless(),
        without=("seccomp",),
    ),
)

KERNEL = (
    Escape(
        name="user namespace",
        tries="becomes root of a new user namespace",
        defence="seccomp",
        source=trying("return call(272, 0x10000000) == 0"),
        expected=Harmless(),
        without=("seccomp",),
    ),
    Escape(
        name="clone3 with a namespace",
        tries="asks for a user namespace by the call whose flags no filter can read",
        defence="seccomp: there is no clone3",
        source=trying(
            "wanted = (ctypes.c_uint64 * 11)(0x10000000, 0, 0, 0, 17)\n"
            "pid = call(435, wanted, 88)\n"
            "if pid == 0: os._exit(0)\n"
            "os.waitpid(pid, 0)\nreturn pid"
        ),
        expected=Harmless(),
        without=("seccomp",),
    ),
    Escape(
        name="mount",
        tries="mounts a file system of its own",
        defence="seccomp; no capabilities; Landlock",
        source=trying(
            "call(272, 0x10000000 | 0x00020000)\n"
            "call(165, b'none', b'/', None, 0x44000, None)\n"
            "call(165, b'tmpfs', os.fsencode(str(ctx.scratch)), b'tmpfs', 0, None)\n"
            "return True"
        ),
        expected=Harmless(),
        without=("seccomp", "landlock"),
    ),
    Escape(
        name="keyring",
        tries="puts a key into the user's keyring",
        defence="seccomp",
        source=trying("return call(248, b'user', b'@MARK@', b'x', 1, -2)"),
        expected=Harmless(),
        without=("seccomp",),
    ),
    Escape(
        name="bpf",
        tries="creates a map in the kernel",
        defence="seccomp; no capabilities",
        source=trying(
            "wanted = ctypes.create_string_buffer(struct.pack('IIIII', 2, 4, 4, 1, 0) + bytes(100))\n"
            "return call(321, 0, wanted, 72)"
        ),
        expected=Harmless(),
        without=EVERYTHING,
        needs_root=True,
    ),
    Escape(
        name="perf events",
        tries="opens a hardware counter, a frequent source of kernel faults",
        defence="seccomp; no capabilities",
        source=trying(
            "wanted = ctypes.create_string_buffer(struct.pack('IIQ', 1, 112, 0) + bytes(96))\n"
            "return call(298, wanted, 0, -1, -1, 0)"
        ),
        expected=Harmless(),
        without=EVERYTHING,
        needs_root=True,
    ),
    Escape(
        name="userfaultfd",
        tries="handles its own page faults, which helps to exploit the kernel",
        defence="seccomp",
        source=trying("return call(323, 1)"),
        expected=Harmless(),
        without=("seccomp",),
    ),
    Escape(
        name="program from memory",
        tries="executes a program that lies in no file (memfd_create)",
        defence="seccomp; Landlock",
        source=trying(
            "fd = call(319, b'program', 0)\n"
            "os.write(fd, open('/bin/true', 'rb').read())\n"
            "return subprocess.run([f'/proc/self/fd/{fd}'], pass_fds=[fd], check=True)"
        ),
        expected=Harmless(),
        without=("seccomp", "landlock"),
    ),
    Escape(
        name="shared memory segment",
        tries="leaves a System V segment that outlives it",
        defence="ipc namespace; seccomp",
        source=trying("return call(29, @SEGMENT@, 4096, 0o1666)"),
        expected=Harmless(),
        without=("ipc-namespace", "seccomp"),
        witness="segment",
    ),
)

PROBES = (
    Escape(
        name="inherited descriptors",
        tries="looks for open files beside its channel, the budget page and its output",
        defence="descriptors close when a program starts",
        source=trying(
            "known = {0, 1, 2, int(sys.argv[1]), int(sys.argv[2])}\n"
            "found = {}\n"
            "for fd in map(int, os.listdir('/proc/self/fd')):\n"
            "    with contextlib.suppress(OSError):\n"
            "        found[fd] = os.readlink(f'/proc/self/fd/{fd}')\n"
            "return {fd: where for fd, where in found.items() if fd not in known and '/fd' not in where and 'memfd:autoresearch' not in where}"
        ),
        expected=Harmless(),
        is_probe=True,
    ),
    Escape(
        name="set-user-id program",
        tries="starts su, and looks whether it runs as root",
        defence="no new privileges",
        source=trying(
            "su = subprocess.Popen(['/usr/bin/su'], stdin=subprocess.PIPE)\n"
            "time.sleep(0.2)\n"
            "status = open(f'/proc/{su.pid}/status').read()\n"
            "su.kill()\n"
            "return os.geteuid() and status.split('Uid:')[1].split()[1] == '0'"
        ),
        expected=Harmless(),
        is_probe=True,
    ),
)

ESCAPES = (*NETWORK, *KERNEL, *PROBES)

"""Attacks on files: the user's, other runs', the cache."""

# ruff: noqa: E501 - the sources of candidates are clearer unbroken
from __future__ import annotations

from attack import Escape, Harmless
from escape_source import EVERYTHING, FILE_LAYERS, PROCESS_LAYERS, trying

ESCAPES = (
    Escape(
        name="reads the home directory",
        tries="opens a private file of the user",
        defence="a view of files without it; Landlock; another user",
        source=trying("return 'SECRET' in open('@HOME@/.ssh/id_ed25519').read()"),
        expected=Harmless(),
        without=FILE_LAYERS,
    ),
    Escape(
        name="reads another run's scratch",
        tries="lists the temporary directory and reads what another run keeps there",
        defence="a view of files; Landlock; another user",
        source=trying(
            "return any('SECRET' in path.read_text() for path in pathlib.Path('@OTHER_SCRATCH@').iterdir())"
        ),
        expected=Harmless(),
        without=FILE_LAYERS,
    ),
    Escape(
        name="reads the cache",
        tries="opens the prepared tokens before they are released",
        defence="a view of files without the cache; Landlock",
        source=trying(
            "return [path for path in pathlib.Path('@CACHE@').rglob('train.bin') if path.read_bytes()]"
        ),
        expected=Harmless(),
        without=FILE_LAYERS,
    ),
    Escape(
        name="writes outside its scratch",
        tries="leaves a file in the home directory",
        defence="read-only mounts; Landlock; another user",
        source=trying("return pathlib.Path('@HOME@/@MARK@').write_text('was here')"),
        expected=Harmless(),
        without=FILE_LAYERS,
        witness="left-file",
    ),
    Escape(
        name="spoils the cache",
        tries="overwrites the prepared tokens of later runs",
        defence="read-only descriptors; a view of files without the cache",
        source=trying("return pathlib.Path('@CACHE@/@MARK@').write_text('was here')"),
        expected=Harmless(),
        without=FILE_LAYERS,
        witness="left-file",
    ),
    Escape(
        name="writes through a released shard",
        tries="opens a shard's descriptor again for writing",
        defence="another user; Landlock",
        source=trying(
            "(shard,) = ctx.start()\n"
            "type(ctx).start = lambda self: []\n"
            "for line in open('/proc/self/maps'):\n"
            "    if line.rstrip().endswith('train.bin'):\n"
            "        return open(line.split(None, 5)[5].strip(), 'r+b').fileno()\n"
        ),
        expected=Harmless(),
        without=FILE_LAYERS,
    ),
    Escape(
        name="symbolic link",
        tries="puts a link to the home directory into its scratch, and reads through it",
        defence="a link leads nowhere in its view of files",
        source=trying(
            "link = ctx.scratch / 'link'\nlink.symlink_to('@HOME@')\n"
            "return 'SECRET' in (link / '.ssh/id_ed25519').read_text()"
        ),
        expected=Harmless(),
        without=FILE_LAYERS,
    ),
    Escape(
        name="hard link",
        tries="gives a private file a second name in its scratch",
        defence="another mount; Landlock; another user",
        source=trying(
            "link = ctx.scratch / 'link'\nos.link('@HOME@/.ssh/id_ed25519', link)\nreturn 'SECRET' in link.read_text()"
        ),
        expected=Harmless(),
        without=FILE_LAYERS,
    ),
    Escape(
        name="opens files past the view",
        tries="walks /proc/*/root and /proc/*/cwd to the file system outside",
        defence="pid namespace; another user; Landlock",
        source=trying(
            "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
            "    with contextlib.suppress(OSError):\n"
            "        if 'SECRET' in open(f'/proc/{pid}/root@HOME@/.ssh/id_ed25519').read():\n"
            "            return pid\n"
        ),
        expected=Harmless(),
        without=(*PROCESS_LAYERS, "capped-scratch"),
    ),
    Escape(
        name="open by handle",
        tries="opens the private file by its inode, past all mounts (open_by_handle_at)",
        defence="seccomp; no capabilities",
        source=trying(
            "handle = ctypes.create_string_buffer(struct.pack('Ii', 128, 0) + bytes(128))\n"
            "mount = ctypes.c_int()\n"
            "call(303, -100, b'@HOME@/.ssh/id_ed25519', handle, ctypes.byref(mount), 0)\n"
            "folder = os.open('@HOME@', os.O_RDONLY)\n"
            "return os.read(call(304, folder, handle, os.O_RDONLY), 100)"
        ),
        expected=Harmless(),
        without=EVERYTHING,
        needs_root=True,
    ),
    Escape(
        name="changes permissions",
        tries="makes a private file readable for all (Landlock does not watch metadata)",
        defence="a view of files; seccomp where there is none; another user",
        source=trying("os.chmod('@HOME@/.ssh/id_ed25519', 0o666)\nreturn True"),
        expected=Harmless(),
        without=(*FILE_LAYERS, "seccomp"),
    ),
    Escape(
        name="raw devices",
        tries="reads kernel log, memory or a disk through /dev",
        defence="a /dev with five harmless devices; Landlock; another user",
        source=trying(
            "for name in ('kmsg', 'mem', 'vda', 'sda', 'nvme0n1', 'port'):\n"
            "    with contextlib.suppress(OSError):\n"
            "        os.close(os.open(f'/dev/{name}', os.O_RDONLY | os.O_NONBLOCK))\n"
            "        return name\n"
        ),
        expected=Harmless(),
        without=EVERYTHING,
        needs_root=True,
    ),
)

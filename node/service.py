"""A systemd unit of the user's own that keeps a node running: written, removed, looked at.

The unit holds the command line as it was given and nothing else: keys and tokens stay in their files, and
variables that an agent needs come from a file of the owner's, if there is one.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from node.exit_codes import ExitCode
from node.failures import Failed

UNIT = "autoresearch-node.service"
ENVIRONMENT_NAME = "autoresearch/service.env"
BOOTED_MARK = Path("/run/systemd/system")
ASK_LIMIT_S = 20.0

FINAL_CODES = (
    ExitCode.USAGE,
    ExitCode.AUTH,
    ExitCode.CONTRACT_MISMATCH,
    ExitCode.DOCTOR,
    ExitCode.BUDGET_SPENT,
    ExitCode.INTERRUPTED,
)
"""Ends after which starting again would change nothing; 0 is one of itself."""

_UNIT_TEXT = """\
[Unit]
Description=autoresearch node: trains for a swarm
StartLimitIntervalSec=3600
StartLimitBurst=20

[Service]
ExecStart={command}
EnvironmentFile=-{environment}
Restart=on-failure
RestartSec=30
RestartPreventExitStatus={final}
SuccessExitStatus={settled}
KillMode=mixed
TimeoutStopSec=120
Nice=10
UMask=0077

[Install]
WantedBy=default.target
"""


class Service:
    """The unit of one user; ``environ`` says where their configuration lies and what is on their PATH."""

    unit = UNIT

    def __init__(self, environ: Mapping[str, str], *, booted_mark: Path = BOOTED_MARK) -> None:
        self._environ = environ
        self._booted_mark = booted_mark
        home = Path(environ.get("HOME") or Path.home())
        self._config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")

    @property
    def path(self) -> Path:
        """Where the unit lies."""
        return self._config / "systemd" / "user" / UNIT

    @property
    def environment_path(self) -> Path:
        """Where its owner may put variables for an agent; it need not be there."""
        return self._config / ENVIRONMENT_NAME

    @property
    def is_installed(self) -> bool:
        """True if the unit is there, whether it runs or not."""
        return self.path.exists()

    def install(self, program: str, arguments: Sequence[str]) -> str:
        """Writes the unit for ``program join ARGUMENTS``; returns what to do next. Raises Failed."""
        self._require_systemd()
        text = unit_text([program, "join", *arguments], self.environment_path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise Failed(f"cannot write {self.path} ({error.strerror})") from error
        return (
            f"wrote {self.path}\n"
            "start it now and at every login, and let it run without one:\n"
            f"  systemctl --user enable --now {UNIT}\n"
            "  loginctl enable-linger\n"
        )

    def uninstall(self) -> str:
        """Stops the service and removes its unit; the node's state stays. Raises Failed."""
        if not self.is_installed:
            raise Failed(f"there is no service: {self.path} is not there")
        if self._has_systemd():
            self._systemctl("disable", "--now", UNIT)
        self.path.unlink()
        if self._has_systemd():
            self._systemctl("daemon-reload")
        return f"removed {self.path}; the node's state dir stays as it is\n"

    def status(self) -> str:
        """What is installed, and what systemd says of it. Raises Failed."""
        if not self.is_installed:
            raise Failed("no service is installed; see: autoresearch-node service install --help")
        self._require_systemd()
        command = next(
            line.removeprefix("ExecStart=")
            for line in self.path.read_text(encoding="utf-8").splitlines()
            if line.startswith("ExecStart=")
        )
        lingers = {True: "yes", False: "no: it ends when you log out", None: "unknown"}[self.lingers()]
        return (
            f"unit      {self.path}\n"
            f"command   {command}\n"
            f"state     {self._systemctl('is-active', UNIT) or 'unknown'}\n"
            f"at login  {self._systemctl('is-enabled', UNIT) or 'unknown'}\n"
            f"lingers   {lingers}\n"
        )

    def lingers(self) -> bool | None:
        """Whether the user's services outlive their login; None where nobody can tell."""
        said = self._ask("loginctl", "show-user", self._environ.get("USER", ""), "--property=Linger")
        return {"Linger=yes": True, "Linger=no": False}.get(said)

    def _require_systemd(self) -> None:
        if not self._has_systemd():
            raise Failed(
                "this machine is not run by systemd, so there is nothing to install into; have your own "
                "service manager run: autoresearch-node join HOST --yes"
            )

    def _has_systemd(self) -> bool:
        found = shutil.which("systemctl", path=self._environ.get("PATH"))
        return self._booted_mark.is_dir() and found is not None

    def _systemctl(self, *arguments: str) -> str:
        return self._ask("systemctl", "--user", *arguments)

    def _ask(self, *argv: str) -> str:
        """What it says, whatever its exit code: ``is-active`` fails for a service that does not run."""
        program = shutil.which(argv[0], path=self._environ.get("PATH"))
        if program is None:
            return ""
        try:
            done = subprocess.run(
                [program, *argv[1:]],
                env=dict(self._environ),
                capture_output=True,
                text=True,
                timeout=ASK_LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip()


def unit_text(argv: Sequence[str], environment: Path) -> str:
    """The unit: it starts again after a failure, and rests after an end that is one."""
    return _UNIT_TEXT.format(
        command=" ".join(quoted(word) for word in argv),
        environment=str(environment).replace("%", "%%"),
        final=" ".join(str(int(code)) for code in FINAL_CODES),
        settled=f"{int(ExitCode.BUDGET_SPENT)} {int(ExitCode.INTERRUPTED)}",
    )


def quoted(word: str) -> str:
    """One word of a command line as systemd reads it: no variable, no specifier, no split. Raises Failed."""
    if any(not char.isprintable() for char in word):
        raise Failed(f"{word!r} cannot stand in a unit; leave out its control characters", ExitCode.USAGE)
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    is_plain = escaped == word and shlex.quote(word) == word
    return word if is_plain else f'"{escaped}"'

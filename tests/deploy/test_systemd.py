"""The unit of docs/how-to/systemd.md: systemd understands it, and the server does what it says."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import signal
import socket
import subprocess
import sys

import pytest

from schedhttp.settings import Settings
from tests.deploy import guides
from tests.patience import SOON

UNIT = "/etc/systemd/system/schedcore.service"
PROGRAM = "/opt/schedcore/bin/schedhttp"


@pytest.fixture
def here(tmp_path):
    """Write the guide's files; return the unit, with the paths of this machine."""
    text = guides.write_files("systemd", tmp_path)[UNIT]
    settings = tmp_path / "schedcore.toml"
    settings.write_text(settings.read_text().replace("/srv/jobs", str(tmp_path)))
    settings.chmod(0o640)
    program = tmp_path / "schedhttp"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m schedhttp "$@"\n')
    program.chmod(0o755)
    assert PROGRAM in text
    return text.replace(PROGRAM, str(program)).replace("/etc/schedcore", str(tmp_path))


def service_of(unit):
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str
    parser.read_string(unit)
    return parser["Service"]


def verified(unit, tmp_path):
    file = tmp_path / "schedcore.service"
    file.write_text(unit)
    return subprocess.run(
        ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False
    )


def test_systemd_finds_nothing_wrong_with_the_unit(here, tmp_path):
    guides.need("systemd-analyze", "systemd")
    told = verified(here, tmp_path)
    assert (told.returncode, told.stderr) == (0, "")
    wrong = verified(here.replace("ExecReload=", "ExecReloads="), tmp_path)
    assert "Unknown key" in wrong.stderr


class Notified:
    """What systemd does with a service of type ``notify``."""

    def __init__(self, unit, folder):
        self.service = service_of(unit)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(SOON)
        self._socket.bind(f"\0{folder}/notify")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("SCHED")}
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                shlex.split(self.service["ExecStart"]),
                cwd=folder,  # as WorkingDirectory
                env=inherited
                | {"NOTIFY_SOCKET": f"@{folder}/notify", "SCHEDULER_BIND": "127.0.0.1:0"},
                stderr=log,
                umask=int(self.service["UMask"], 8),
            )

    def wait_until_ready(self):
        while b"READY=1" not in self._socket.recv(4096):
            pass

    def end(self):
        self._socket.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def notified(here, tmp_path):
    one = Notified(here, tmp_path)
    yield one
    one.end()


def test_the_server_tells_when_it_is_ready_reloads_and_ends_as_the_unit_says(notified, tmp_path):
    assert notified.service["Type"] == "notify"
    notified.wait_until_ready()
    reload = notified.service["ExecReload"].replace("$MAINPID", str(notified.process.pid))
    subprocess.run(shlex.split(reload), check=True)
    notified.process.send_signal(signal.SIGTERM)
    assert notified.process.wait(SOON) == 0
    log = notified.log.read_text()
    assert "Handling signal: hup" in log
    assert "Traceback" not in log
    # The store is where the unit lets it write, and nobody else's.
    assert (tmp_path / "schedcore.db").stat().st_mode & 0o077 == 0
    assert notified.service["WorkingDirectory"] == f"/var/lib/{notified.service['StateDirectory']}"


def test_the_unit_waits_for_longer_than_the_server_does(here):
    assert int(service_of(here)["TimeoutStopSec"]) > Settings().graceful_timeout


def test_a_mistake_in_the_settings_ends_it_with_what_the_guide_says(here, tmp_path):
    (tmp_path / "schedcore.toml").write_text("workers = 'many'\n")
    command = shlex.split(service_of(here)["ExecStart"])
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.search(r"schedcore\.toml: workers='many'", done.stderr)

"""The image and the compose file, as far as they can be tried without a container engine.

`make dist` installs what the image does, by the same lock, and uses it.
"""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import socket
import subprocess
import sys

import pytest
import yaml
from packaging.requirements import Requirement

from schedhttp import settings
from tests.cli.servers import real_server
from tests.deploy import guides
from tests.deploy.dockerfile import build_stage, final_stage, stages
from tests.test_distribution import EXTRAS, PROJECT

COMPOSE = yaml.safe_load((guides.ROOT / "compose.yaml").read_text())
LOCK = (guides.ROOT / "requirements.lock").read_text()
ENV_FILE = guides.files_of("docker")[".env"]


def variables(stage):
    """Return what a stage's ENV lines say."""
    return dict(pair.split("=", 1) for line in stage["ENV"] for pair in shlex.split(line))


# The image


def test_nobody_in_the_image_is_root():
    (user,) = final_stage()["USER"]
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user), "Kubernetes cannot tell a name from root"


def test_its_health_check_tells_a_server_from_none(tmp_path):
    (check,) = final_stage()["HEALTHCHECK"]
    python, *arguments = json.loads(check.partition("CMD ")[2])
    assert python == "python"

    def status(address):
        moved = [part.replace("127.0.0.1:5000", address) for part in arguments]
        return subprocess.run([sys.executable, *moved], check=False, capture_output=True).returncode

    with real_server(tmp_path) as url:
        assert status(url.removeprefix("http://")) == 0
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        assert status("{}:{}".format(*nobody.getsockname())) == 1


def test_the_server_understands_what_the_image_sets():
    given = {k: v for k, v in variables(final_stage()).items() if k.startswith("SCHEDULER_")}
    chosen = settings.load(None, given)
    assert final_stage()["EXPOSE"] == [chosen.bind.rpartition(":")[2]]
    (volume,) = final_stage()["VOLUME"]
    assert chosen.store == f"sqlite:///{volume}/schedcore.db"
    (entry,) = final_stage()["ENTRYPOINT"]
    assert json.loads(entry)[0] in PROJECT["scripts"]


def test_it_is_given_all_that_it_copies_and_no_more():
    """What .dockerignore leaves out cannot be copied; what else it lets in makes caches stale."""
    copied = {name for line in build_stage()["COPY"] for name in line.split()[:-1]}
    ignored = (guides.ROOT / ".dockerignore").read_text().split("\n")
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert all((guides.ROOT / name).exists() for name in copied)


def test_the_lock_holds_what_the_project_asks_for():
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", LOCK, re.M))
    assert len(re.findall(r"--hash=sha256:", LOCK)) > len(pinned)
    (extras,) = re.findall(r"--extra (\S+)", (guides.ROOT / "Makefile").read_text())
    wanted = [*PROJECT["dependencies"], *(r for e in extras.split(",") for r in EXTRAS[e])]
    for requirement in map(Requirement, wanted):
        if requirement.marker is None or requirement.marker.evaluate({"python_version": "3.13"}):
            name = requirement.name.lower()
            assert requirement.specifier.contains(pinned[name]), requirement


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.with-packages"])
def test_an_image_with_jobs_has_the_files_and_the_user_of_the_guide(name, tmp_path):
    files = guides.write_files("docker", tmp_path)
    (stage,) = stages(files[name])
    assert stage["USER"] in ([], ["root", *final_stage()["USER"]])
    (copied,) = stage["COPY"]
    *sources, target = copied.split()
    assert set(sources) <= files.keys()
    assert final_stage()["WORKDIR"] == [target.rstrip("/")]
    config = variables(stage)["SCHEDULER_CONFIG"]
    assert config.removeprefix(target) in sources


def test_the_server_starts_with_the_jobs_of_the_guide(tmp_path):
    guides.write_files("docker", tmp_path)
    with real_server(tmp_path, "--config", "schedcore.toml", "--port", "0"):
        assert (tmp_path / "schedcore.db").exists()


# Compose


def filled(text):
    """Return a text with the variables of the guide's .env, as compose fills them in."""
    known = dict(line.split("=", 1) for line in ENV_FILE.split("\n") if line)
    return re.sub(r"\$\{(\w+)(:[?-])?([^}]*)\}", lambda m: known[m[1]], text)


SERVICE, DATABASE = COMPOSE["services"]["scheduler"], COMPOSE["services"]["postgres"]


def test_compose_gives_the_server_settings_that_it_understands():
    given = {k: filled(v) for k, v in SERVICE["environment"].items()}
    assert given["SCHEDULER_CONFIG"] == "/app/schedcore.toml"
    chosen = settings.load(None, given | {"SCHEDULER_CONFIG": ""})
    assert chosen.api_tokens.keys() == {"admin"}
    user, host, name = re.fullmatch(r"postgresql://(\w+)@(\w+)/(\w+)", chosen.store).groups()
    known = DATABASE["environment"]
    assert (user, name) == (known["POSTGRES_USER"], known["POSTGRES_DB"])
    assert COMPOSE["services"][host] is DATABASE
    assert given["PGPASSWORD"] == filled(known["POSTGRES_PASSWORD"])


def test_compose_mounts_what_the_image_reads_and_writes():
    mounts = dict(filled(line).split(":")[:2] for line in SERVICE["volumes"])
    assert (guides.ROOT / mounts.pop("./examples") / "x").parent.name == "app"
    assert list(mounts.values()) == final_stage()["VOLUME"]
    named = [line.split(":")[0] for one in (SERVICE, DATABASE) for line in one["volumes"]]
    assert {name for name in named if name.isalpha()} == COMPOSE["volumes"].keys()
    assert (guides.ROOT / "examples" / "schedcore.toml").exists()


def test_compose_waits_for_longer_than_the_server_does():
    grace = int(SERVICE["stop_grace_period"].removesuffix("s"))
    assert grace > settings.Settings().graceful_timeout


def test_compose_lets_nobody_in_from_elsewhere():
    assert all(fnmatch.fnmatch(port, "127.0.0.1:*") for port in SERVICE["ports"])
    assert "ports" not in DATABASE

"""The site of docs/how-to/nginx.md, in an nginx of its own before a real server."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import socket
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import urlencode

import pytest

from tests.cli.servers import real_server
from tests.deploy import guides
from tests.patience import SOON

NAME = "jobs.example.com"
SITE = "/etc/nginx/conf.d/schedcore.conf"
CERTIFICATES = f"/etc/letsencrypt/live/{NAME}"
MAIN = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    text: str


class Site:
    """A site as a client sees it, which knows its name and trusts its certificate."""

    def __init__(self, folder, plain, encrypted):
        self._ports = {"http": plain, "https": encrypted}
        self._trusts = ssl.create_default_context(cafile=str(folder / "fullchain.pem"))

    def ask(self, method, path, token=None, scheme="https", body=None, **headers):
        kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
        more = {"context": self._trusts} if scheme == "https" else {}
        connection = kind(NAME, timeout=SOON, **more)
        here = ("127.0.0.1", self._ports[scheme])
        connection._create_connection = lambda _name, *_: socket.create_connection(here, SOON)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        found = Answer(answer.status, dict(answer.headers), answer.read().decode())
        connection.close()
        return found


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Make a certificate for the name of the guide."""
    guides.need("openssl", "openssl")
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        shlex.split(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
            f" -subj /CN={NAME} -addext subjectAltName=DNS:{NAME}"
            " -keyout privkey.pem -out fullchain.pem"
        ),
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Start a server with the settings of the guide; return its address."""
    folder = tmp_path_factory.mktemp("server")
    guides.write_files("nginx", folder)
    with real_server(folder, "--config", "schedcore.toml", "--port", "0") as url:
        yield url.removeprefix("http://")


@pytest.fixture
def serve(tmp_path, certificate, server):
    """Serve a text as the site."""
    guides.need("nginx", "nginx-light")

    @contextmanager
    def serving(text):
        plain, encrypted = free_ports(2)
        for old, new in [
            ("listen 80;", f"listen 127.0.0.1:{plain};"),
            ("listen 443 ssl;", f"listen 127.0.0.1:{encrypted} ssl;"),
            (CERTIFICATES, str(certificate)),
            ("127.0.0.1:5000", server),
        ]:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "site.conf").write_text(text)
        user = "user root;" if os.geteuid() == 0 else ""
        (tmp_path / "nginx.conf").write_text(MAIN.format(folder=tmp_path, user=user))
        command = ["nginx", "-e", "stderr", "-p", str(tmp_path), "-c", "nginx.conf"]
        test = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
        assert test.returncode == 0, test.stderr
        assert "warn" not in test.stderr
        process = subprocess.Popen(command)
        try:
            wait_for(process, encrypted)
            yield Site(certificate, plain, encrypted)
        finally:
            process.terminate()
            process.wait(SOON)

    return serving


def wait_for(process, port):
    deadline = time.monotonic() + SOON
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), SOON).close()
            return
        except OSError:
            assert process.poll() is None, "nginx has ended"
            assert time.monotonic() < deadline, "nginx does not listen"
            threading.Event().wait(0.02)


@pytest.fixture
def site(serve):
    with serve(guides.files_of("nginx")[SITE]) as served:
        yield served


ORIGIN = {"Origin": f"https://{NAME}", "Content-Type": "application/json"}


def test_a_token_lets_in_through_tls_and_nothing_else_does(site):
    assert site.ask("GET", "/scheduler/jobs").status == 401
    assert site.ask("GET", "/scheduler/jobs", "wrong").status == 401
    for token in (guides.ADMIN, guides.MONITORING):
        answer = site.ask("GET", "/scheduler/jobs", token)
        assert (answer.status, json.loads(answer.text)) == (200, [])
    assert site.ask("GET", "/scheduler/live").status == 200
    plain = site.ask("GET", "/scheduler/jobs?n=1", guides.ADMIN, scheme="http")
    assert plain.status == 301
    assert plain.headers["Location"] == f"https://{NAME}/scheduler/jobs?n=1"


def test_pages_of_the_site_may_act_and_pages_of_others_may_not(site):
    assert site.ask("POST", "/scheduler/pause", guides.ADMIN, **ORIGIN).status == 204
    assert site.ask("POST", "/scheduler/resume", guides.ADMIN, **ORIGIN).status == 204
    other = ORIGIN | {"Origin": "https://evil.example"}
    assert site.ask("POST", "/scheduler/pause", guides.ADMIN, **other).status == 403


def test_without_the_line_for_the_host_they_may_not(serve):
    text = guides.files_of("nginx")[SITE]
    line = "        proxy_set_header Host $http_host;\n"
    assert line in text
    with serve(text.replace(line, "")) as site:
        assert site.ask("POST", "/scheduler/pause", guides.ADMIN, **ORIGIN).status == 403


def test_who_signs_in_gets_a_cookie_for_tls_alone(site):
    page = site.ask("GET", "/")
    assert page.status == 401
    hidden = dict(re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', page.text))
    cookie = page.headers["Set-Cookie"].partition(";")[0]
    answer = site.ask(
        "POST",
        "/sign-in",
        body=urlencode(hidden | {"user": "", "password": guides.ADMIN}),
        Cookie=cookie,
        **ORIGIN | {"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert answer.status == 303, answer.text
    assert "Secure" in answer.headers["Set-Cookie"]


def test_a_body_that_is_too_large_does_not_reach_the_server(site):
    body = b" " * (1 << 20) + b"{}"
    assert site.ask("POST", "/scheduler/jobs", guides.ADMIN, body=body).status == 413

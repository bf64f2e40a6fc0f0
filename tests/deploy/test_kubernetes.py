"""The objects of docs/how-to/kubernetes.md fit to one another, to the image, and to the server."""

from __future__ import annotations

import pytest
import yaml
from werkzeug.test import Client

from schedcore import Scheduler
from schedhttp import create_app, settings
from tests.deploy import guides
from tests.deploy.dockerfile import final_stage

OBJECTS = {
    each["kind"]: each
    for each in yaml.safe_load_all(guides.files_of("kubernetes")["schedcore.yaml"])
}
POD = OBJECTS["Deployment"]["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]
PROBES = ["startupProbe", "livenessProbe", "readinessProbe"]
TOKENS = '{"admin": "sha256:%s"}' % ("0" * 64)


@pytest.mark.parametrize("probe", PROBES)
def test_a_probe_is_answered_without_credentials_by_any_name(probe):
    """The kubelet asks by the pod's address, and cannot sign in."""
    asked = CONTAINER[probe]["httpGet"]
    app = create_app(scheduler := Scheduler(timezone="UTC"), api_tokens={"admin": "x" * 32})
    scheduler.start()
    client = Client(app)
    where = {"base_url": "http://10.1.2.3:5000", "environ_base": {"REMOTE_ADDR": "10.1.0.1"}}
    assert client.get(asked["path"], **where).status_code == 200
    assert client.get("/scheduler/jobs", **where).status_code == 401
    scheduler.shutdown()


def test_a_probe_asks_where_the_image_listens():
    (port,) = CONTAINER["ports"]
    assert {CONTAINER[probe]["httpGet"]["port"] for probe in PROBES} == {port["name"]}
    (service,) = OBJECTS["Service"]["spec"]["ports"]
    assert service["targetPort"] == port["name"]
    assert final_stage()["EXPOSE"] == [str(port["containerPort"])]


def test_all_objects_mean_the_same_pods():
    labels = POD["metadata"]["labels"]
    assert OBJECTS["Service"]["spec"]["selector"] == labels
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert OBJECTS[kind]["spec"]["selector"]["matchLabels"] == labels


def environment():
    """Return the variables of the container, with a value for each secret."""
    secrets = {"tokens": TOKENS, "database-password": "secret"}
    return {
        one["name"]: one["value"]
        if "value" in one
        else secrets[one["valueFrom"]["secretKeyRef"]["key"]]
        for one in CONTAINER["env"]
    }


def test_the_server_understands_its_settings():
    chosen = settings.load(None, environment())
    assert chosen.store.startswith("postgresql://")
    assert ":" not in chosen.store.removeprefix("postgresql://").partition("@")[0]
    assert "PGPASSWORD" in environment()
    assert chosen.api_tokens


def test_the_pod_has_longer_to_end_than_the_server_takes():
    needs = settings.load(None, environment()).graceful_timeout
    assert POD["spec"]["terminationGracePeriodSeconds"] > needs


def test_it_runs_as_the_user_of_the_image():
    (user,) = final_stage()["USER"]
    context = POD["spec"]["securityContext"]
    assert f"{context['runAsUser']}:{context['runAsGroup']}" == user
    mounted = {mount["name"] for mount in CONTAINER["volumeMounts"]}
    assert mounted == {volume["name"] for volume in POD["spec"]["volumes"]}

"""compose.yaml and the Dockerfile name what there is. Nothing is built or run."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from starlette.routing import Match

from mythline import create_app
from mythline.cli import app as cli
from mythline.opening import is_database
from mythline.settings import Settings

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
APIS = {name: service for name, service in OURS.items() if service["command"][0] == "serve"}


def test_services():
    assert set(SERVICES) == {"db", "migrate", "api1", "api2", "proxy"}
    assert set(APIS) == {"api1", "api2"}
    assert not [name for name in OURS if "ports" in SERVICES[name]]
    (port,) = SERVICES["proxy"]["ports"]
    assert port.startswith("127.0.0.1:")


def test_what_services_wait_for_is_there():
    for service in SERVICES.values():
        for name, how in service.get("depends_on", {}).items():
            assert name in SERVICES
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[name]
            else:
                assert how["condition"] == "service_completed_successfully"
                assert SERVICES[name]["restart"] == "no"
    assert {entry.partition(":")[0] for entry in SERVICES["db"]["volumes"]} <= set(
        COMPOSE["volumes"]
    )
    assert {config["source"] for config in SERVICES["proxy"]["configs"]} <= set(COMPOSE["configs"])


def test_settings_are_known():
    opening = (ROOT / "src" / "mythline" / "opening.py").read_text("utf-8")
    known = set(re.findall(r"\bMYTHLINE_[A-Z_]+\b", opening))
    known |= {f"MYTHLINE_{name.upper()}" for name in Settings.model_fields}
    for service in OURS.values():
        assert is_database(service["environment"]["MYTHLINE_STORE"])
        ours = {name for name in service["environment"] if name.startswith("MYTHLINE_")}
        assert ours <= known
    store = OURS["migrate"]["environment"]["MYTHLINE_STORE"]
    database = SERVICES["db"]["environment"]
    assert store == (f"postgresql://{database['POSTGRES_USER']}@db:5432/{database['POSTGRES_DB']}")


@pytest.mark.parametrize("name", OURS)
def test_commands_can_be_read(name):
    verb, *arguments = OURS[name]["command"]
    verbs: Any = typer.main.get_command(cli)
    given = verbs.commands[verb].make_context(verb, arguments).params
    if verb == "serve":
        assert (given["host"], given["port"], given["insecure"]) == ("0.0.0.0", 8000, True)


def test_what_asks_for_health_is_answered(tmp_path):
    asked = re.findall(r"http://127\.0\.0\.1:8000(/\w+)", json.dumps(APIS))
    proxy = COMPOSE["configs"]["caddyfile"]["content"]
    asked += re.findall(r"health_uri (\S+)", proxy)
    assert set(asked) == {"/ready", "/health"}
    app = create_app(str(tmp_path))
    for path in asked:
        scope = {"type": "http", "method": "GET", "path": path, "headers": [], "root_path": ""}
        assert any(route.matches(scope)[0] is Match.FULL for route in app.router.routes), path


def test_the_proxy_leads_to_the_servers():
    proxy = COMPOSE["configs"]["caddyfile"]["content"]
    (upstreams,) = re.findall(r"reverse_proxy (.*) \{", proxy)
    assert upstreams.split() == [f"{name}:8000" for name in APIS]
    assert proxy.count("{") == proxy.count("}")


def test_the_dockerfile_copies_and_installs_what_there_is():
    text = (ROOT / "Dockerfile").read_text("utf-8")
    kept = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        if line.startswith("!")
    }
    sources = {
        source
        for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert sources == kept
    assert all((ROOT / source).exists() for source in sources)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(re.findall(r"\.\[(\w+)\]", text)) <= set(project["optional-dependencies"])
    assert re.search(r"^USER (?!root)", text, re.MULTILINE)
    assert (
        json.loads(re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)[0])[0]
        in (project["scripts"])
    )

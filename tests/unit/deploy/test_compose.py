"""The files of deploy/compose agree with each other: addresses, ports, users, mounts; miltscan reads its settings."""

import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

import yaml

from miltscan.config.load import parse_settings
from miltscan.config.settings import Settings
from tests.harness.programs import CHECKOUT

COMPOSE = CHECKOUT / "deploy/compose"
FILE: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
STAGES = (COMPOSE / "Containerfile").read_text()
IMAGE = (CHECKOUT / "deploy/container/Containerfile").read_text()


def settings() -> Settings:
    """The settings of miltscan's container."""
    return parse_settings((COMPOSE / "miltscan.toml").read_bytes(), "miltscan.toml")


def addresses() -> dict[str, str]:
    """The fixed address of each service in network `mail`."""
    found = ((name, service.get("networks", [])) for name, service in SERVICES.items())
    return {name: networks["mail"]["ipv4_address"] for name, networks in found if "mail" in networks}


def site(name: str) -> str:
    """A setting of both sendmails."""
    (found,) = re.findall(rf"^define\(`{name}', `(.*)'\)", (COMPOSE / "mail/site.m4").read_text(), re.MULTILINE)
    return str(found)


def dangling() -> Iterator[str]:
    """What compose.yaml names and nothing has: files, volumes, networks, services, stages of the Containerfile."""
    for name, service in SERVICES.items():
        for line in service.get("volumes", []):
            source = line.split(":")[0]
            if not ((COMPOSE / source).exists() if source.startswith(".") else source in FILE["volumes"]):
                yield f"{name}: {source}"
        known: dict[str, Any] = {"networks": FILE["networks"], "depends_on": SERVICES}
        yield from (f"{name}: {one}" for key, all_ in known.items() for one in service.get(key, []) if one not in all_)
        if "build" in service and f" AS {service['build']['target']}\n" not in STAGES:
            yield f"{name}: {service['build']['target']}"
        if "build" in service and not (COMPOSE / service["build"].get("dockerfile", "Dockerfile")).exists():
            yield f"{name}: file of the build"
        for needed, condition in service.get("depends_on", {}).items():
            if condition["condition"] == "service_healthy" and "healthcheck" not in SERVICES[needed]:
                yield f"{name}: health of {needed}"


def test_everything_that_is_named_exists() -> None:
    """An engine finds each file and image, and each condition can become true."""
    assert [*dangling()] == []


def test_the_files_have_the_same_addresses() -> None:
    """Incoming, miltscan and delivery find each other, and admit no other host."""
    at, found = addresses(), settings()
    (subnet,) = FILE["networks"]["mail"]["ipam"]["config"]
    assert {name for name in at if ip_address(at[name]) not in ip_network(subnet["subnet"])} == set()
    assert found.milter.socket is not None
    port = str(found.milter.socket).removeprefix("inet:").partition("@")[0]
    assert site("SITE_MILTER") == f"inet:{port}@{at['miltscan']}"
    assert [str(one) for one in found.milter.allow] in ([f"{at['incoming']}/32"], [at["incoming"]])
    assert (site("SITE_DELIVERY_HOST"), site("SITE_DELIVERY_LISTEN")) == (f"[{at['delivery']}]", at["delivery"])
    assert site("SITE_DELIVERY_FROM").split() == [at["incoming"], at["delivery"]]  # the second for its health check
    assert str(found.delivery.server) == f"inet:19000@{at['delivery']}"
    assert at["delivery"] in SERVICES["delivery"]["healthcheck"]["test"]


def test_a_tmpfs_has_the_mode_of_its_folder() -> None:
    """Of a tmpfs, too, whose own mode is ignored by runc before 1.1.8: it takes that of the folder in the image."""
    wanted = {line for service in SERVICES.values() for line in service.get("tmpfs", []) if line.startswith("/run/")}
    made = {
        f"{folder}:mode={mode}"
        for mode, folder in re.findall(r"install -d (?:-o \S+ -g \S+ )?-m (\d+) (/run/\S+)", IMAGE + STAGES)
    }
    assert wanted - made == set()


def test_no_port_is_published_by_ipv6() -> None:
    """The networks have no IPv6: the engine's proxy would give each such client an address of this site."""
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert [port for port in published if not re.match(r"\d+\.\d+\.\d+\.\d+:", port)] == []


def test_prometheus_may_scrape() -> None:
    """The exporter admits the network of Prometheus, which asks for the name and port of miltscan."""
    (subnet,) = FILE["networks"]["watch"]["ipam"]["config"]
    exporter = settings().exporter
    assert subnet["subnet"] in {str(one) for one in exporter.allow}
    scraped = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())
    target = f"{SERVICES['miltscan']['hostname']}:{exporter.listen.port if exporter.listen else 0}"
    assert scraped["scrape_configs"][0]["static_configs"][0]["targets"] == [target]
    mounted = {line.split(":")[1] for line in SERVICES["prometheus"]["volumes"]}
    assert {f"/etc/prometheus/{name}" for name in scraped["rule_files"]} <= mounted


def test_engines_are_services() -> None:
    """Each server of an engine is a service in miltscan's network."""
    hosts = {str(server).partition("@")[2] for engine in settings().engines for server in engine.servers}
    assert hosts == {"clamd", "rspamd"}
    assert {name for name in hosts if "scan" not in SERVICES[name]["networks"]} == set()


def test_the_container_stops_as_the_unit_does() -> None:
    """An engine waits for the longest drain, and gives the service as many descriptors."""
    unit = (CHECKOUT / "deploy/systemd/miltscan.service").read_text()
    assert f"TimeoutStopSec={SERVICES['miltscan']['stop_grace_period']}\n" in unit
    assert f"LimitNOFILE={SERVICES['miltscan']['ulimits']['nofile']}\n" in unit


def test_no_user_of_an_image_is_one_of_a_host() -> None:
    """Numbers of ordinary users begin at 1000: files of the volumes would belong to one of them."""
    users = re.findall(r"^USER (\d+):\1$", IMAGE + STAGES, re.MULTILINE)
    assert len(users) == 3
    assert {int(one) >= 10_000 for one in users} == {True}


def test_a_read_only_service_has_a_place_for_its_files() -> None:
    """Each has a tmpfs for /tmp, whose options every engine knows: Podman has no uid=."""
    for name, service in SERVICES.items():
        if service.get("read_only"):
            assert "/tmp:mode=1777" in service["tmpfs"], name  # noqa: S108 - the container's own
            assert [line for line in service["tmpfs"] if not line.endswith(":mode=1777")] == []

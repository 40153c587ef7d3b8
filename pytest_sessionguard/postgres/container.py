"""The door of a container, started with testcontainers."""

from __future__ import annotations

import os
import secrets
import socket
import time
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from pytest_sessionguard.postgres.cluster import LOOPBACK, SPEED, USER
from pytest_sessionguard.postgres.databases import Run, find_driver, read_version
from pytest_sessionguard.postgres.engine import DEFAULT_SOCKET, Engine, find_engine
from pytest_sessionguard.postgres.errors import Abandoned, DatabaseError, DoorError, Refusal
from pytest_sessionguard.postgres.home import is_alive
from pytest_sessionguard.postgres.server import Address, Server, Site
from pytest_sessionguard.postgres.settings import PostgresSettings

LABEL_HOME = "pytest-sessionguard.home"
LABEL_OWNER = "pytest-sessionguard.owner"
_PORT = 5432
_ANSWER_PATIENCE = 120.0
_MEND_INSTALL = 'pip install "pytest-sessionguard[container]"'
_MEND_ENGINE = "start Docker"


def look(settings: PostgresSettings) -> Refusal | None:
    """Tell whether testcontainers is installed and a Docker engine answers."""
    missing = [name for name in ("testcontainers", "docker") if not _is_installed(name)]
    if missing:
        return Refusal("container", f"the package {missing[0]} is not installed", _MEND_INSTALL)
    engine, tried = find_engine()
    if engine is None:
        return Refusal("container", tried, _MEND_ENGINE)
    return None


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:
        return False


def open_server(settings: PostgresSettings, site: Site) -> Server:
    """Start a container that publishes its port on loopback only, and wait until it answers.

    Args:
        settings: with the image.
        site: the keeper's.

    Returns:
        The server; with it goes the container, its volumes too.

    Raises:
        DoorError: if there is no image, or it does not start, or does not answer.
        Abandoned: if the last client left meanwhile.
    """
    engine, tried = find_engine()
    if engine is None:
        raise DoorError(tried, _MEND_ENGINE)
    if engine.host != DEFAULT_SOCKET:
        # docker-py knows neither contexts nor rootless sockets.
        os.environ["DOCKER_HOST"] = engine.host
    try:
        from docker.errors import (  # type: ignore[import-untyped, unused-ignore]
            DockerException,
        )
        from requests import RequestException
        from testcontainers.core.container import DockerContainer
    except ImportError as error:
        raise DoorError(f"testcontainers cannot be imported: {error}", _MEND_INSTALL) from None
    password = secrets.token_urlsafe(24)
    container: Any = None
    try:
        container = DockerContainer(settings.image)
        client: Any = container.get_docker_client().client
        _remove_leftovers(client)
        _have_image(client, container.image, site)
        _have_reaper(client, site)
        container.with_env("POSTGRES_USER", USER).with_env("POSTGRES_PASSWORD", password)
        container.with_env("POSTGRES_INITDB_ARGS", "--no-sync")
        container.with_command(
            ["postgres", *(f"-c{name}={value}" for name, value in SPEED.items())]
        )
        container.with_kwargs(labels={LABEL_HOME: str(site.home.path), LABEL_OWNER: _owner()})
        # docker-py's form of "any free port of this address"; a remote engine has no loopback that
        # is ours.
        container.ports[f"{_PORT}/tcp"] = (LOOPBACK, None) if engine.local else None
        site.say(f"starting Postgres (container {container.image})")
        container.start()
        address, version = _wait_answer(
            container, engine, Address(LOOPBACK, _PORT, USER, password, "postgres"), site
        )
    except BaseException as error:
        with suppress(Exception):
            if container is not None:
                container.stop()
        if isinstance(error, (DoorError, Abandoned)) or not isinstance(error, Exception):
            raise
        if not isinstance(error, (DockerException, RequestException, OSError)):
            raise DoorError(
                f"testcontainers failed: {type(error).__name__}: {_clause(error)}", _MEND_ENGINE
            ) from error
        raise DoorError(
            f"{settings.image} does not start: {_clause(error)}", _MEND_ENGINE
        ) from None
    return Server("container", address, lambda: _stop(container), version=version)


def _clause(error: BaseException) -> str:
    explanation = getattr(error, "explanation", None)
    text = (
        explanation.decode(errors="replace")
        if isinstance(explanation, bytes)
        else str(explanation or error)
    )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__


def _have_image(client: Any, image: str, site: Site) -> None:
    """Pull an image if it is not there, saying how far it is."""
    from docker.errors import (  # type: ignore[import-untyped, unused-ignore]
        DockerException,
        ImageNotFound,
    )
    from docker.utils import (  # type: ignore[import-untyped, unused-ignore]
        parse_repository_tag,
    )

    with suppress(ImageNotFound):
        client.images.get(image)
        return
    site.say(f"pulling {image}")
    repository, tag = parse_repository_tag(image)
    layers: dict[str, str] = {}
    said = time.monotonic()
    try:
        for event in client.api.pull(repository, tag=tag or "latest", stream=True, decode=True):
            site.go_on()
            if "error" in event:
                raise DoorError(
                    f"{image} cannot be pulled: {event['error'].splitlines()[0]}",
                    f"docker pull {image}",
                )
            if ("id" in event and "progress" in event) or event.get("status") == "Pull complete":
                layers[event["id"]] = event["status"]
            if layers and time.monotonic() - said > 3:
                said = time.monotonic()
                done = sum(status == "Pull complete" for status in layers.values())
                site.say(f"pulling {image}: {done} of {len(layers)} layers")
    except DockerException as error:
        raise DoorError(
            f"{image} is not here and cannot be pulled: {_clause(error)}", f"docker pull {image}"
        ) from None


def _have_reaper(client: Any, site: Site) -> None:
    """Go without Ryuk, who removes what a killed keeper leaves, where there is no image of it."""
    from testcontainers.core.config import testcontainers_config

    if testcontainers_config.ryuk_disabled:
        return
    try:
        _have_image(client, testcontainers_config.ryuk_image, site)
    except DoorError:
        testcontainers_config.ryuk_disabled = True
        site.say("no image of Ryuk: a killed keeper's container would stay until the next run")


def _wait_answer(
    container: Any, engine: Engine, template: Address, site: Site
) -> tuple[Address, str]:
    """Wait until the server takes our password, at whichever of its addresses we can reach."""
    run: Run = find_driver()
    end = time.monotonic() + _ANSWER_PATIENCE
    error = "it was not asked yet"
    wrapped = container.get_wrapped_container()
    while time.monotonic() < end:
        site.go_on()
        wrapped.reload()
        if wrapped.status in ("exited", "dead"):
            words = wrapped.logs(tail=5).decode(errors="replace").strip().splitlines()[-1:] or [
                "it said nothing"
            ]
            raise DoorError(
                f"the container of {container.image} ended: {words[0]}",
                f"docker run {container.image}",
            )
        for host, port in _places(container, wrapped, engine):
            address = Address(host, port, template.user, template.password, template.database)
            try:
                # The image's own start-up server listens on a socket only: who answers here is the
                # real one.
                return address, read_version(run, address)
            except DatabaseError as failure:
                error = str(failure)
        time.sleep(0.1)
    raise DoorError(
        f"the container of {container.image} did not answer: {error}",
        f"docker run {container.image}",
    )


def _places(container: Any, wrapped: Any, engine: Engine) -> list[tuple[str, int]]:
    settings = wrapped.attrs.get("NetworkSettings") or {}
    published = (settings.get("Ports") or {}).get(f"{_PORT}/tcp") or []
    places = []
    for binding in published[:1]:
        host = LOOPBACK if engine.local else container.get_container_host_ip()
        places.append((host, int(binding["HostPort"])))
    if engine.local:
        # We may be in a container ourselves, with the engine's socket passed in: its loopback is
        # not ours, then.
        inner = [network.get("IPAddress") for network in (settings.get("Networks") or {}).values()]
        places += [(address, _PORT) for address in inner if address and _accepts(address)]
    return places


def _accepts(host: str) -> bool:
    try:
        socket.create_connection((host, _PORT), timeout=0.5).close()
    except OSError:
        return False
    return True


def _stop(container: Any) -> None:
    try:
        container.stop(force=True, delete_volume=True)
    finally:
        with suppress(ImportError, AttributeError):
            from testcontainers.core.container import Reaper

            # It would go by itself ten seconds after us.
            Reaper.delete_instance()


def _owner() -> str:
    """Return who can prove a keeper dead: a user who sees the same temporary folders."""
    try:
        space = os.readlink("/proc/self/ns/mnt")
    except OSError:
        space = ""
    return f"{getattr(os, 'getuid', lambda: 0)()}@{socket.gethostname()}{space}"


def _remove_leftovers(client: Any) -> None:
    """Remove containers of our user whose keepers were killed."""
    from pathlib import Path

    from docker.errors import DockerException

    with suppress(DockerException):
        for old in client.containers.list(all=True, filters={"label": f"{LABEL_OWNER}={_owner()}"}):
            place = old.labels.get(LABEL_HOME)
            if place and not is_alive(Path(place)):
                with suppress(DockerException):
                    old.remove(force=True, v=True)

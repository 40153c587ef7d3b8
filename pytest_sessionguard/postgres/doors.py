"""All doors, in the order in which they are tried, and the look at them that opens nothing."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_sessionguard.postgres import container, embedded, given, path
from pytest_sessionguard.postgres.errors import DoorError, NoDoorError, Refusal
from pytest_sessionguard.postgres.server import Door, Server, Site, as_door
from pytest_sessionguard.postgres.settings import PostgresSettings, mask

DOORS: dict[str, Door] = {
    "given": as_door(given),
    "container": as_door(container),
    "embedded": as_door(embedded),
    "path": as_door(path),
}


@dataclass(frozen=True)
class Survey:
    """Tell which doors may open, seen from outside.

    Args:
        settings: what was asked for.
        chosen: the door that would be tried first; None if none may open.
        refusals: why each of the doors that were asked for stays shut, in order.
    """

    settings: PostgresSettings
    chosen: str | None
    refusals: tuple[Refusal, ...]

    def lines(self) -> list[str]:
        """Return one line for each door asked for: whether it may open and, if not, why."""
        shut = {refusal.door: str(refusal) for refusal in self.refusals}
        return [shut.get(name, f"{name}: {self._promise(name)}") for name in self.settings.wanted]

    def _promise(self, name: str) -> str:
        said = mask(self.settings.url or "") if name == "given" else "available"
        return f"{said} (chosen)" if name == self.chosen and len(self.settings.wanted) > 1 else said


def survey(settings: PostgresSettings) -> Survey:
    """Look at the doors that are asked for; open and import nothing.

    Args:
        settings: the choice.

    Returns:
        What was seen.
    """
    seen = {name: DOORS[name].look(settings) for name in settings.wanted}
    return Survey(
        settings,
        next((name for name, refusal in seen.items() if refusal is None), None),
        tuple(refusal for refusal in seen.values() if refusal is not None),
    )


def open_door(settings: PostgresSettings, site: Site) -> tuple[Server, tuple[Refusal, ...]]:
    """Open the first of the asked-for doors that opens.

    Args:
        settings: the choice; a door that is named is the only one that is tried.
        site: the keeper's.

    Returns:
        The server, and why the doors before it stayed shut.

    Raises:
        NoDoorError: if none opens.
        Abandoned: if the last client left meanwhile.
    """
    refusals: list[Refusal] = []
    for name in settings.wanted:
        site.go_on()
        refusal = DOORS[name].look(settings)
        if refusal is None:
            try:
                return DOORS[name].open_server(settings, site), tuple(refusals)
            except DoorError as error:
                refusal = Refusal(name, error.reason, error.mend)
                site.home.clear()
        if len(settings.wanted) > 1:
            site.say(str(refusal))
        refusals.append(refusal)
    raise NoDoorError(refusals)

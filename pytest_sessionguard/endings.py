"""How owners come to their end: what is due then, and what is told of it later."""

from __future__ import annotations

from functools import partial

from pytest_sessionguard.accounts import Account
from pytest_sessionguard.accounts.settling import Unsaid, settle
from pytest_sessionguard.leftovers import Leftovers
from pytest_sessionguard.postponed import Postponed
from pytest_sessionguard.shield import Shield, shielded


class Endings:
    """The ends of owners.

    Args:
        leftovers: What asks servers.
        shield: What takes the guard's own faults.
    """

    def __init__(self, leftovers: Leftovers, shield: Shield) -> None:
        self.shield = shield
        self._leftovers = leftovers
        self._postponed = Postponed()
        self._unsaid: list[Unsaid] = []

    def end(self, accounts: list[Account]) -> None:
        """Come to what is due: what can still end by itself has done so.

        Args:
            accounts: The accounts that are about to be judged.
        """
        self.shield.run(partial(self._postponed.take, accounts))
        self.settle(accounts)
        self.shield.run(partial(self._leftovers.end, accounts))
        self.shield.run(partial(self._postponed.take, accounts))

    @shielded
    def note_overdue(self, accounts: list[Account]) -> None:
        """Note what is out before a fixture is torn down that other tests have as well.

        It may return what a test has not, and which test is its last is chance.

        Args:
            accounts: Those of a test whose own fixtures have been torn down.
        """
        if any(account.leases for account in accounts):
            self._postponed.take(accounts)
            self.settle(accounts)
            self._postponed.take(accounts)
            for account in accounts:
                account.overdue = account.open_leases()

    @shielded
    def settle(self, accounts: list[Account]) -> None:
        """Give what can still end by itself a moment.

        Args:
            accounts: The accounts that are about to be judged.
        """
        self._unsaid += settle(accounts)

    @shielded
    def take_back(self, accounts: list[Account]) -> None:
        """Take back what was put aside of a test that turns out not to be judged.

        Args:
            accounts: Its accounts.
        """
        self._postponed.take_back(accounts)

    def take_postponed(self) -> list[Account]:
        """Return what was put aside for the end of the run."""
        return self._postponed.take_pages()

    def say_unsaid(self) -> None:
        """Say what was said of other things that were collected beside a leak."""
        while self._unsaid:
            self.shield.run(self._unsaid.pop(0))

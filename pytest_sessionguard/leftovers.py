"""What a server still does for connections whose leases have ended: who is asked, who is blamed.

A pool rolls back what it takes back; an advisory lock of the session's kind survives that, and so
does a transaction that was begun past SQLAlchemy. Nobody is blamed where somebody else, whose end
has not come, had the connection as well since it was last seen free.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from contextlib import suppress

from pytest_sessionguard.accounts import Account, Burden, Seat, Suspect
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.model import Severity
from pytest_sessionguard.rules import open_server_transaction
from pytest_sessionguard.watch import Watchers

_RULE = open_server_transaction.RULE


class Leftovers:
    """What asks servers when owners begin and end, and enters what comes of it in their accounts.

    Args:
        ledger: Where it stands what was used.
        watchers: What can ask.
    """

    def __init__(self, ledger: Ledger, watchers: Watchers) -> None:
        self._ledger = ledger
        self._watchers = watchers

    def begin(self, account: Account) -> None:
        """Learn what was left before a test, where nobody has asked yet.

        Args:
            account: The test's.
        """
        if self._ledger.unasked and is_asked(account):
            seats = self._take_unasked()
            settle(self._watchers.look_at_seats(lambda: seats))

    def _take_unasked(self) -> list[Seat]:
        """Take out the connections about which nobody has asked, and which are open."""
        seats: list[Seat] = []
        with suppress(KeyError):
            while True:  # one by one: a thread may put one in meanwhile
                seats.append(self._ledger.unasked.pop())
        return [seat for seat in seats if not seat.is_closed]

    def look(self, accounts: list[Account]) -> Mapping[Seat, Burden | None]:
        """Learn what was left on the connections that accounts have given back.

        Args:
            accounts: Accounts that end or have been set up.

        Returns:
            What the servers have answered.
        """
        answers: Mapping[Seat, Burden | None] = {}
        if any(account.seats for account in accounts):
            answers = self._watchers.look_at_seats(lambda: find_seats(accounts))
            blame(answers, accounts)
        return answers

    def end(self, accounts: list[Account]) -> None:
        """Ask about all that accounts had; what of it is left becomes suspects of theirs.

        Args:
            accounts: Accounts that end.
        """
        self._watchers.ask_servers(lambda: find_suspects(accounts))
        answers = self.look(accounts)
        accuse(answers, accounts)
        self.leave(accounts, answers)

    def leave(self, accounts: list[Account], answered: Container[Seat] = ()) -> None:
        """Leave it to the beginning of the next test to ask.

        Args:
            accounts: Accounts that end.
            answered: Connections about which somebody has.
        """
        self._ledger.unasked.update(leave_open(accounts, answered))


def is_asked(account: Account) -> bool:
    """Tell whether what an account has left on connections would be told."""
    return account.severities.get(_RULE.code, _RULE.severity) is not Severity.OFF


def find_suspects(accounts: Iterable[Account]) -> list[Suspect]:
    """Find the connections that ended in an unusual way and about which a server is to be asked.

    Where a setting has turned the rule off nobody asks; that it may be needed is entered.

    Args:
        accounts: Accounts that are about to be judged.

    Returns:
        Those of accounts in which the answer would be told.
    """
    found = []
    for account in accounts:
        suspects = [s for s in account.suspects if not (s.told or s.lease.told)]
        if is_asked(account):
            found += suspects
        elif suspects:
            account.hushed.add(_RULE.code)
    return found


def find_seats(accounts: Iterable[Account]) -> list[Seat]:
    """Find the connections that went back to their pools and about which a server is to be asked.

    Args:
        accounts: Accounts whose connections went back to their pools.

    Returns:
        Those that are open, of accounts in which the answer would be told.
    """
    found: dict[Seat, None] = {}
    for account in accounts:
        seats = [seat for seat in list(account.seats) if not seat.is_closed]
        if is_asked(account):
            found.update(dict.fromkeys(seats))
        elif seats:
            account.hushed.add(_RULE.code)
    return list(found)


def blame(answers: Mapping[Seat, Burden | None], accounts: list[Account]) -> None:
    """Enter whose affair it is what was left on connections.

    Args:
        answers: What the server does for each connection; None where it does nothing.
        accounts: The accounts that have used them, and that end or have been set up.
    """
    for seat, burden in answers.items():
        if burden is None:
            seat.leave(None)
        elif not seat.is_worse(burden):
            seat.leave(seat.left_by, seat.burden and burden, seat.evidence)
        elif others := [each for each in list(seat.visitors) if each not in accounts]:
            seat.leave(others[0], burden)
        elif seat.visits:
            evidence = tuple(seat.visits)[::-1]
            seat.leave(evidence[0].account, burden, evidence)


def accuse(answers: Mapping[Seat, Burden | None], accounts: list[Account]) -> None:
    """Enter as suspect what the accounts that end have left on connections.

    Args:
        answers: What the server does for each connection.
        accounts: The accounts that end.
    """
    for seat, burden in answers.items():
        account = seat.left_by
        if burden is None or account is None or account not in accounts or not seat.evidence:
            continue
        last, *earlier = seat.evidence
        suspect = Suspect(seat, last, "returned", tuple(earlier))
        suspect.state, suspect.locks = burden
        account.suspects.append(suspect)
        # It stays the affair of this account, which is over: nobody else is accused of it.
        seat.evidence = ()


def leave_open(accounts: Iterable[Account], answered: Container[Seat] = ()) -> list[Seat]:
    """Leave open what was left on connections about which nobody has asked.

    Args:
        accounts: Accounts that end.
        answered: The connections about which there was an answer.

    Returns:
        The others, about which somebody is to ask before the next test begins.
    """
    seats = {seat: account for account in accounts for seat in list(account.seats)}
    others = [seat for seat in seats if seat not in answered and not seat.is_closed]
    for seat in others:
        seat.leave(seat.left_by or seats[seat], None, seat.evidence)
    return others


def settle(answers: Mapping[Seat, Burden | None]) -> None:
    """Enter what was left on connections before a test begins, and is none of its business.

    Args:
        answers: What the server does for each connection.
    """
    for seat, burden in answers.items():
        account = seat.left_by or next(iter(list(seat.visitors)), None)
        seat.leave(account if burden else None, burden, seat.evidence if burden else ())

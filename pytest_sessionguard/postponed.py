"""What is judged at the end of the run: others go on with it when its owner ends.

A server that a session fixture runs answers a test before it has closed the session of the request;
a worker of such a fixture has a connection out at any moment. Which test's end finds that is luck.
"""

from __future__ import annotations

from pytest_sessionguard.accounts import Account


class Postponed:
    """The pages of such things, each of the owner who is to be blamed for it."""

    def __init__(self) -> None:
        self._pages: list[Account] = []
        self._is_over = False

    def take(self, accounts: list[Account]) -> None:
        """Take what goes on beyond the end of its owner; again where time has passed since.

        Args:
            accounts: Those that are about to be judged.
        """
        if self._is_over:
            return
        for account in accounts:
            # First: a session of others may take a connection at any moment.
            page = account.later or account.end()
            leases = [lease for lease in account.open_leases() if lease.goes_on(accounts)]
            records = [record for record in account.open_sessions() if record.goes_on(accounts)]
            account.move(leases, records, page)
        ended = [account.later for account in accounts if account.later is not None]
        pages = dict.fromkeys((*self._pages, *ended))
        self._pages = [page for page in pages if page.may_tell or page in ended]

    def take_pages(self) -> list[Account]:
        """Return all pages: they are due now, and nothing is postponed any more."""
        self._is_over = True
        pages, self._pages = self._pages, []
        return pages

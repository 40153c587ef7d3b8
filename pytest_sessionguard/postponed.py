"""What is judged at the end of the run: others go on with it when its owner ends.

A server that a session fixture runs answers a test before it has closed the session of the request;
a worker of such a fixture has a connection out at any moment. Which test's end finds that is luck.
"""

from __future__ import annotations

from weakref import WeakSet

from pytest_sessionguard.accounts import Account

# How many pages that tell something are kept before it is asked whether they still do.
_MANY = 64


class Postponed:
    """The pages of such things, each of the owner who is to be blamed for it."""

    def __init__(self) -> None:
        # Those that may tell something, and those that may come to: a session that outlives its
        # owner keeps the page alive on which it goes on writing.
        self._pages: dict[Account, None] = {}
        self._quiet: WeakSet[Account] = WeakSet()
        self._many = _MANY
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
            self._quiet.add(page)
            leases = [lease for lease in account.open_leases() if lease.goes_on(accounts)]
            held = {lease.session for lease in leases}
            records = [
                record
                for record in account.open_sessions()
                if record in held or record.goes_on(accounts)
            ]
            account.move(leases, records, page)
        self._sort()

    def take_back(self, accounts: list[Account]) -> None:
        """Give back what was taken: its test has failed meanwhile, and is not judged.

        Args:
            accounts: Those of the test.
        """
        for account in accounts:
            page, account.later = account.later, None
            account.overdue = []
            if page is not None:
                page.move(list(page.leases), list(page.sessions), account)
                self._pages.pop(page, None)
                self._quiet.discard(page)

    def take_pages(self) -> list[Account]:
        """Return all pages: they are due now, and nothing is postponed any more."""
        self._is_over = True
        self._sort()
        pages, self._pages = list(self._pages), {}
        return pages

    def _sort(self) -> None:
        """Keep what may tell something; to ask all of it again each time would cost too much."""
        telling = [page for page in self._quiet if page.may_tell]
        self._pages.update(dict.fromkeys(telling))
        self._quiet.difference_update(telling)
        if len(self._pages) > self._many:
            quiet = [page for page in self._pages if not page.may_tell]
            self._quiet.update(quiet)
            for page in quiet:
                del self._pages[page]
            self._many = max(_MANY, 2 * len(self._pages))

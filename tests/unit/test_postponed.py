"""The pages that wait for the end of the run."""

from __future__ import annotations

import gc
import weakref

from pytest_sessionguard.accounts import Account
from pytest_sessionguard.model import Owner
from pytest_sessionguard.postponed import Postponed


def make_account(number: int) -> Account:
    return Account(Owner("test", f"test_{number}", nodeid=f"test_{number}"))


def test_pages_of_many_tests() -> None:
    """What has nothing to tell any more is let go, unless it may be written on again."""
    postponed = Postponed()
    accounts = [make_account(number) for number in range(200)]
    for account in accounts:
        account.end().nestings["place"] = object()  # type: ignore[assignment]
        postponed.take([account])
    pages = [account.later for account in accounts]
    assert list(postponed._pages) == pages
    for page in pages[:150]:
        page.nestings.clear()  # type: ignore[union-attr]
    for number in range(200, 400):
        accounts.append(make_account(number))
        accounts[-1].end().nestings["place"] = object()  # type: ignore[assignment]
        postponed.take(accounts[-1:])
    assert len(postponed._pages) == 250
    pages[0].nestings["place"] = object()  # type: ignore[assignment, union-attr]
    alive = [weakref.ref(page) for page in pages[:2]]
    postponed.take([])
    del accounts[:], account, pages, page
    gc.collect()
    assert [page() is None for page in alive] == [False, True]
    assert [page.owner.name for page in postponed.take_pages()][-1] == "test_0"
    assert postponed.take_pages() == []

"""URLs of PostgreSQL: what they may say, what errors tell, and that no password is shown."""

from __future__ import annotations

import sys

import pytest

from schedcore import InvalidOptionError, StoreError
from schedcore.errors import StoreUnavailableError
from schedcore.stores.urls import open_store
from tests.stores.postgres import need_server, server


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("schema=Jobs;drop", "small letters"),
        ("lease=0&pass%77ord=secret", "1 to 9999"),
        ("nonsense=1", "postgres"),
    ],
)
def test_what_a_url_may_not_say_is_named_without_the_password(options, expected):
    need_server()
    with pytest.raises(InvalidOptionError, match=expected) as caught:
        open_store(f"postgresql://me:secret@host/jobs?{options}")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_a_server_that_is_not_there_is_told_at_once_without_the_password(scheme):
    need_server()
    store = open_store(f"{scheme}://me:secret@127.0.0.1:1/jobs")
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match="refused") as caught:
            store.entries()
    assert "secret" not in str(caught.value) + repr(store) + store.cluster.info().url


def test_a_missing_driver_is_one_clear_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg_pool", None)
    with pytest.raises(StoreError, match=r'pip install "psycopg\[binary,pool\]"'):
        open_store("postgresql://host/jobs")


def test_the_tables_are_in_the_schema_that_the_url_names():
    need_server()
    one, other = open_store(server().url("here")), open_store(server().url("there"))
    try:
        assert one.cluster.info().id != other.cluster.info().id
        assert one.cluster.info().reachable
    finally:
        one.close()
        other.close()


@pytest.mark.parametrize("word", ["order", "user"])
def test_a_schema_may_be_called_as_a_word_of_sql(word):
    need_server()
    store = open_store(server().url(word))
    try:
        assert store.entries() == []
    finally:
        store.close()

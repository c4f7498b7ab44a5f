"""What the code asks of a database connection: asyncpg's own methods, with types.

asyncpg ships no annotations; these two protocols name the part that stores and use cases may use, so that mypy sees it.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, overload


class Record(Protocol):
    """A row: columns by name or by place. Iterating yields values, not names (asyncpg's way); `dict(row)` works."""

    @overload
    def __getitem__(self, key: str) -> Any: ...
    @overload
    def __getitem__(self, key: int) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __len__(self) -> int: ...
    def get(self, key: str, default: Any = None, /) -> Any:
        """Value of a column, or `default` when there is no such column."""

    def keys(self) -> Iterable[str]:
        """Column names in order."""

    def values(self) -> Iterator[Any]:
        """Values in order."""

    def items(self) -> Iterator[tuple[str, Any]]:
        """Pairs of column name and value, in order."""


class Connection(Protocol):
    """One connection, normally inside a transaction that the edge opened. `jsonb` travels as text, both ways."""

    async def execute(self, query: str, *args: Any) -> str:
        """Run one statement (or several, without arguments) and return the command tag, e.g. `UPDATE 3`."""

    async def executemany(self, command: str, args: Iterable[Sequence[Any]]) -> None:
        """Run one statement once per tuple of arguments, in one round trip."""

    async def fetch(self, query: str, *args: Any) -> list[Record]:
        """Return all rows."""

    async def fetchrow(self, query: str, *args: Any) -> Record | None:
        """Return the first row, or None."""

    async def fetchval(self, query: str, *args: Any, column: int = 0) -> Any:
        """Return one value of the first row, or None."""

    def transaction(
        self, *, isolation: str | None = None, readonly: bool = False, deferrable: bool = False
    ) -> AbstractAsyncContextManager[Any]:
        """Open a transaction, or a savepoint inside one."""

    def is_in_transaction(self) -> bool:
        """Whether a transaction is open."""

    def terminate(self) -> None:
        """End the connection at once and ask nothing of the server; a transaction that is open is rolled back there."""

    async def prepare(self, query: str, *, name: str | None = None) -> Any:
        """Prepare a statement; raises when it does not fit the schema."""

    async def copy_records_to_table(
        self, table_name: str, *, records: Iterable[Sequence[Any]], columns: Sequence[str] | None = None
    ) -> str:
        """Load rows by binary COPY; one bad row fails all."""

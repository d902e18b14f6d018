"""Lookups that every call of a program makes: their SQL is written once in a process.

Django takes two to three times as long to write a lookup over a few tables as Postgres to answer
it. A result is a row as `.only(*fields).first()` returns it: other fields are read when needed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from django.db import connection
from django.db.models import Model, QuerySet

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class _Part:
    """The columns of one model in a result; `key` is the foreign key that leads to it."""

    key: str
    model: type[Any]
    names: list[str]
    places: list[int]

    def row(self, result: tuple[Any, ...]) -> Any:
        return self.model.from_db(connection.alias, self.names, [result[at] for at in self.places])


class Lookup(Generic[Row]):
    """`rows` has a stand-in for each value of a call, in the order of the call; `fields` may reach
    over a foreign key, as in `user__email`, and name the key of each row."""

    def __init__(self, rows: Callable[[], QuerySet[Row]], fields: tuple[str, ...]) -> None:
        self._rows, self._fields = rows, fields

    def first(self, *values: Any) -> Row | None:
        with connection.cursor() as cursor:
            cursor.execute(self._sql, values)
            result = cursor.fetchone()
        if result is None:
            return None
        own, *related = self._parts
        row: Row = own.row(result)
        for part in related:
            setattr(row, part.key, part.row(result))
        return row

    @cached_property
    def _sql(self) -> str:
        sql, _ = self._rows().values_list(*self._fields)[:1].query.sql_with_params()
        return str(sql)

    @cached_property
    def _parts(self) -> list[_Part]:
        """The looked up row's own part first."""
        model: type[Any] = self._rows().model
        parts = []
        keys = sorted({name.partition("__")[0] for name in self._fields if "__" in name})
        for key, prefix in [("", ""), *((key, f"{key}__") for key in keys)]:
            of_key = model._meta.get_field(key).related_model if key else model
            # from_db wants them in the order of the model's fields.
            columns = [field.attname for field in of_key._meta.concrete_fields]
            names = [name for name in columns if prefix + name in self._fields]
            places = [self._fields.index(prefix + name) for name in names]
            parts.append(_Part(key, of_key, names, places))
        return parts

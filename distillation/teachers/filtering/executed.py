"""SQL of a teacher, executed on the tables that its input names. No Django inside."""

from training.scoring.sql import find_fixture, names_tables, same_result

ANY_QUERY = "SELECT 1"
DOES_NOT_RUN = "its SQL does not run on the tables of its input"


def runs(given: str, query: str) -> bool | None:
    """Whether the query can be executed; None where the input names no tables."""
    if not names_tables(given):
        return None
    tables = find_fixture(None, given, ANY_QUERY)
    return None if tables is None else same_result(query, query, tables) == 1.0


def same_rows(given: str, one: str, other: str) -> bool | None:
    """Whether two queries give the same rows; None where no tables tell them apart."""
    tables = find_fixture(None, given, one) if names_tables(given) else None
    return None if tables is None else same_result(other, one, tables) == 1.0

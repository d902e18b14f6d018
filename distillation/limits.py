"""Lengths in characters of what people and files write, for columns, forms, API and readers."""

NAME_CHARS = 80  # of a source, of a licence
ORIGIN_CHARS = 300  # of a file's name, of an id on the hub
TASK_CHARS = 200  # of what rows are for, of the id that a file gives a row, of a column's name
SEARCH_CHARS = 200
REASON_CHARS = 300
TEXT_CHARS = 20_000  # of an input or an answer that somebody writes

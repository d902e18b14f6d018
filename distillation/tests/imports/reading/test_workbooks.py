"""Workbooks that somebody made to break a reader: refused in a sentence, at once."""

import time
import zipfile

import openpyxl
import pytest

from distillation.imports.reading.preview import MAX_COLUMNS, preview_file
from distillation.imports.reading.rows import ReadOptions


@pytest.fixture
def remade(tmp_path):
    """Write a workbook whose part of this name is another."""

    def write(part, change):
        book = openpyxl.Workbook()
        for row in (("text", "label"), ("my drain is blocked", "plumbing")):
            book.active.append(row)
        book.save(tmp_path / "good.xlsx")
        path = tmp_path / "made.xlsx"
        with zipfile.ZipFile(tmp_path / "good.xlsx") as good, zipfile.ZipFile(path, "w") as made:
            for name in good.namelist():
                data = good.read(name)
                made.writestr(name, change(data) if name.endswith(part) else data)
        return path

    return write


@pytest.mark.parametrize("part", ["sheet1.xml", "workbook.xml", "styles.xml"])
def test_a_workbook_that_is_cut_off_is_refused_in_a_sentence(remade, part):
    look = preview_file(remade(part, lambda data: data[:60]), ReadOptions())
    assert look.refusal.code == "broken_xlsx"


def test_a_row_far_down_makes_nobody_wait(remade):
    def far(data):
        return data.replace(b'"A1:B2"', b'"A1:XFD900000000"').replace(
            b'<row r="2"', b'<row r="900000000"'
        )

    began = time.monotonic()
    preview_file(remade("sheet1.xml", far), ReadOptions())
    assert time.monotonic() - began < 10


def test_a_table_of_very_many_columns_shows_the_first(tmp_path):
    path = tmp_path / "wide.csv"
    row = ",".join(f"c{number}" for number in range(20_000))
    path.write_text(f"{row}\n{row}x\n")
    assert len(preview_file(path, ReadOptions()).columns) == MAX_COLUMNS

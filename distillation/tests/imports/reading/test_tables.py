"""Tables as people have them: from Excel, pasted, without a header, with one from elsewhere."""

import zipfile

import openpyxl
import pytest

from distillation.imports.reading.errors import ImportRefused
from distillation.imports.reading.preview import preview_file
from distillation.imports.reading.rows import ReadOptions
from distillation.imports.reading.streams import Limits
from distillation.imports.reading.table_rows import open_xlsx
from modelstation.testing import shared_data

ROWS = [(f"my drain {n} is blocked, again", ["plumbing", "other"][n % 2]) for n in range(12)]


def pairs(path):
    look = preview_file(path, ReadOptions())
    assert look.refusal is None, look.refusal
    return [tuple(message["content"] for message in row.messages[-2:]) for row in look.rows]


def workbook(path, rows, before=()):
    book = openpyxl.Workbook()
    for name in before:
        book.create_sheet(name, 0)
    sheet = book.worksheets[-1]
    for row in rows:
        sheet.append(row)
    book.save(path)
    return path


def test_a_workbook_is_read_from_its_first_sheet_that_has_rows(tmp_path):
    path = workbook(tmp_path / "a.xlsx", [("Text", "Kategorie"), *ROWS], before=["empty"])
    assert pairs(path) == ROWS[:10]


def test_a_workbook_that_expands_too_far_is_refused(tmp_path):
    path = workbook(tmp_path / "a.xlsx", [("text", "label"), *ROWS])
    with pytest.raises(ImportRefused) as refusal:
        open_xlsx(path, Limits(expanded_bytes=1000))
    assert refusal.value.code == "expands_too_far"


@pytest.mark.parametrize("part", ["xl/workbook.xml", "xl/worksheets/sheet1.xml"])
@pytest.mark.parametrize(
    "text",
    [
        "<worksheet><sheetData><row",
        '<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><worksheet>&d;</worksheet>',
    ],
)
def test_a_workbook_of_broken_or_expanding_xml_is_refused(tmp_path, part, text):
    path = with_part(workbook(tmp_path / "a.xlsx", [("text", "label"), *ROWS]), part, text)
    assert preview_file(path, ReadOptions()).refusal.code == "broken_xlsx"


def with_part(path, part, text):
    """Replace a part of a workbook."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, held in (parts | {part: text.encode()}).items():
            archive.writestr(name, held)
    return path


def test_a_table_without_header_keeps_its_first_row(tmp_path):
    path = tmp_path / "pasted.csv"
    path.write_text("\n".join("\t".join(row) for row in ROWS))
    assert pairs(path) == ROWS[:10]


def test_commas_in_the_text_do_not_split_a_table_of_tabs(tmp_path):
    path = tmp_path / "pasted.csv"
    path.write_text("a, b, c, d\tlabel\n" + "\n".join("\t".join(row) for row in ROWS))
    assert pairs(path) == ROWS[:10]


def test_a_header_of_names_that_nobody_knows_stays_a_header(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x1;x2\n" + "\n".join(";".join(row) for row in ROWS))
    assert list(preview_file(path, ReadOptions()).columns) == ["x1", "x2"]


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("bugcases/messy_tickets.csv", "Beschreibung → Kategorie"),
        ("bugcases/excel_sep_line.csv", "question → answer"),
        ("bugcases/conll.tsv", ""),
        ("bugcases/parquet_decimal_answer.parquet", "question → answer"),
        ("bugcases/doccano_classification_text.jsonl", "text → label"),
        ("dirty/08_cp1252_semicolon.csv", "Frage → Antwort"),
    ],
)
def test_files_of_people_are_read_rightly_or_asked_about(name, shape):
    assert preview_file(shared_data() / name, ReadOptions()).shape == shape

"""Rows out of and into files, exactly."""

import csv
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.errors import ImportRefused, LedgerError
from db.files import read_lines, restored
from db.writing import neutralise, write_rows

STORABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
TRICKY = st.one_of(
    STORABLE, st.sampled_from(["=1+1", "'=1", "''@x", "-5", "\t", "\r\n", '"', "a,b", "😀\n", "'"])
)


@given(TRICKY)
def test_a_neutralised_cell_comes_back_exactly(cell: str) -> None:
    safe = neutralise(cell)
    assert restored(safe) == cell
    assert not safe or safe[0] not in "=+-@\t\r"


@pytest.mark.parametrize(
    "name", ["rows.jsonl", "rows.csv", "rows.parquet", "r.jsonl.gz", "r.csv.gz"]
)
@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.fixed_dictionaries({"one": TRICKY, "two": TRICKY}), min_size=1, max_size=5))
def test_texts_survive_every_format(
    tmp_path_factory: pytest.TempPathFactory, name: str, rows: list[dict[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("rows") / name
    assert write_rows(path, rows, ("one", "two"), name.split(".")[1]) == len(rows)
    assert [line.row for line in read_lines(path)] == rows


def test_a_spreadsheet_sees_no_formula(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    write_rows(path, [{"text": "=HYPERLINK(1)", "number": -1}], ("text", "number"), "csv")
    with path.open(newline="") as stream:
        assert list(csv.reader(stream))[1] == ["'=HYPERLINK(1)", "-1"]


def test_a_gzip_file_of_the_same_rows_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        write_rows(tmp_path / name, [{"x": 1}], ("x",), "jsonl")
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", b"", "is empty; the first line must name the columns"),
        ("x.csv", b"a,b\n1,2\n3\n", "line 3: has 1 cells where the first line names 2 columns"),
        ("x.csv", b'a,b\n1,"2\n', "line 2: is not valid CSV"),
        ("x.csv", b"a\n\xff\n", "line 2: is not UTF-8 text"),
        ("x.jsonl", b'{"a": 1}\n{"a": \n', "line 2: is not valid JSON"),
        ("x.jsonl", b"[1]\n", "line 1: must be an object of fields"),
        ("x.parquet", b"PAR0", "is not a Parquet file"),
        ("x.jsonl.gz", gzip.compress(b'{"a": 1}\n', mtime=0)[:-9], "the gzip file is cut off"),
        ("x.csv.gz", b"\x1f\x8b\x08" + b"\x00" * 7 + b"\xff" * 9, "the gzip file is damaged"),
        ("x.jsonl", b'{"a": ' + b"[" * 200_000, "line 1: is not valid JSON"),
        ("x.csv", b"a,b,a\n1,2,3\n", "line 1: column a occurs twice; keep one"),
        ("x.csv", b"a;b\r\n1;2\r\n", "line 1: the columns are apart by semicolons; save the file"),
        ("x.csv", b"a\tb\n1\t2\n", "line 1: the columns are apart by tabs; save the file"),
        ("x.csv", b"\n\na,b\n", "line 1: is empty; the first line must name the columns"),
        ("x.csv", "a,b\n1,2\n".encode("utf-16"), "is UTF-16 text; save the file as UTF-8"),
        ("x.csv", "a,b\n1,2\n".encode("utf-16-le"), "line 1: has NULs, as UTF-16 text has"),
        ("x.csv", "a,b\n1,é\n".encode("latin-1"), "line 2: is not UTF-8 text; save the file"),
        ("x.json", '[\n"é"]'.encode("latin-1"), "line 2: is not UTF-8 text; save the file"),
        ("x.csv.gz", gzip.compress(b"a\n" * 9 + b"\xff", mtime=0), "line 10: is not UTF-8 text"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ImportRefused) as refused:
        read_lines(path)
    assert message in str(refused.value) and str(path) in str(refused.value)


def test_an_unknown_suffix_is_told_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"use \.jsonl, \.csv or \.parquet"):
        read_lines(tmp_path / "rows.xlsx")


def test_a_failed_export_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("old")

    def rows():
        yield {"x": 1}
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write_rows(path, rows(), ("x",), "jsonl")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_lines_are_counted_as_an_editor_counts(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('a,b\n"one\ntwo",2\n3,4\n')
    assert [line.number for line in read_lines(path)] == [2, 4]


def test_rows_without_columns_keep_their_lists_in_parquet(tmp_path: Path) -> None:
    rows = [{"prompt": [{"role": "user", "content": "hi"}], "label": True}]
    write_rows(tmp_path / "x.parquet", rows, (), "parquet")
    assert [line.row for line in read_lines(tmp_path / "x.parquet")] == rows


def test_numbers_in_parquet_without_a_value_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write_rows(path, [{"n": 1.5}, {"n": float("nan")}], ("n",), "parquet")
    assert [line.row["n"] for line in read_lines(path)] == [1.5, None]
    assert json.dumps(read_lines(path)[0].row) == '{"n": 1.5}'


def test_a_byte_order_mark_and_windows_lines_are_no_part_of_the_rows(tmp_path: Path) -> None:
    for name, text in (
        ("x.csv", 'one,two\r\n"a\r\nb",c\r\n'),
        ("x.jsonl", '{"one": "a\\r\\nb", "two": "c"}\r\n\r\n'),
        ("x.json", '[\r\n{"one": "a\\r\\nb", "two": "c"}]\r\n'),
    ):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
        assert [line.row for line in read_lines(tmp_path / name)] == [{"one": "a\r\nb", "two": "c"}]


def test_a_parquet_file_that_is_damaged_inside_says_after_which_row(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    rows = [{"x": f"words {number} " * 9} for number in range(12_000)]
    write_rows(path, rows, {"x": "text"}, "parquet")
    whole = bytearray(path.read_bytes())
    middle = len(whole) * 3 // 4
    whole[middle : middle + 60] = b"\xff" * 60
    path.write_bytes(whole)
    with pytest.raises(ImportRefused, match=r"is damaged after row \d+000 \(.*get it again"):
        read_lines(path)


def test_told_types_hold_where_no_row_has_a_value(tmp_path: Path) -> None:
    import pyarrow.parquet as parquet

    path = tmp_path / "x.parquet"
    types = {"t": "text", "n": "integer", "w": "number", "l": "truth", "j": "json", "m": "messages"}
    for rows in ([], [dict.fromkeys(types)]):
        assert write_rows(path, rows, types, "parquet") == len(rows)
        names = [str(kind) for kind in parquet.read_schema(path).types]
        assert names[:5] == ["string", "int64", "double", "bool", "string"]
        assert names[5].startswith("list<element: struct<role: string, content: string>>")

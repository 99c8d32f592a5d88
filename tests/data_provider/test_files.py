"""CSV and Parquet files are read in all their spellings, or refused with one line."""

import gzip
import zipfile

import numpy as np
import pandas as pd
import pytest

from data_provider.files import TIME_NAMES, read_file, time_name
from tests.conftest import refusal, says
from tests.data_provider import DAYS, written

GOOD = "date,a,b\n2020-01-01,1,2\n2020-01-02,3,4\n2020-01-03,5,6\n"
SEMICOLONS = GOOD.replace(",", ";")


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        "\ufeff" + SEMICOLONS.replace("\n", "\r\n"),
        GOOD.replace(",", "\t"),
        SEMICOLONS.replace(";1;", ";1,0;").replace(";3;", ';"3,00";'),
        "sep=;\n" + SEMICOLONS,
        GOOD.replace("date,a,b", "date, a , b"),
        "a,date,b\n1,2020-01-01,2\n3,2020-01-02,4\n5,2020-01-03,6\n",
        "\n" + GOOD.replace("\n", "\n\n"),
    ],
)
def test_spellings(tmp_path, text):
    frame = read_file(written(tmp_path, text))
    assert frame["date"].tolist() == ["2020-01-01", "2020-01-02", "2020-01-03"]
    np.testing.assert_array_equal(frame[["a", "b"]], [[1, 2], [3, 4], [5, 6]])


@pytest.mark.parametrize("name", ["NA", "null", "None", "nan", "n/a", "-1.#IND"])
def test_names_that_pandas_takes_for_missing(tmp_path, name):
    frame = read_file(written(tmp_path, f"date,{name},b\n2020-01-01,1,2\n"))
    assert list(frame.columns) == ["date", name, "b"]


def test_cells_of_text_columns_are_read_letter_by_letter(tmp_path):
    path = written(tmp_path, "date,id,a\n001,001,1\n002,NA,NA\n003, 1 ,3\n004,,4\n")
    frame = read_file(path, ("id",))
    assert frame["id"].tolist()[:3] == ["001", "NA", " 1 "]
    assert frame["date"].tolist() == ["001", "002", "003", "004"]
    assert frame.isna().sum().to_dict() == {"date": 0, "id": 1, "a": 1}


@pytest.mark.parametrize("name", TIME_NAMES)
def test_names_of_the_time_column(name):
    assert time_name(["a", f" {name.upper()} ", "b"]) == f" {name.upper()} "
    assert time_name([name, "DATE"]).lower() == "date"


@pytest.mark.parametrize(
    ("cells", "options", "expected"),
    [
        # evidence in the file
        (["-1,5", "3,25e1"], {}, [-1.5, 32.5]),
        (["1.000,5", "2.000"], {}, [1000.5, 2000]),
        (["1,000.5", "2,000"], {}, [1000.5, 2000]),
        (["1.5", "1.012"], {}, [1.5, 1.012]),
        (["3.141592653589793", "1E-300", "+3"], {}, [3.141592653589793, 1e-300, 3]),
        # said by the user
        (["1.012"], {"decimal": "."}, [1.012]),
        (["1.012"], {"thousands": "."}, [1012]),
        (["1,500"], {"thousands": ","}, [1500]),
        (["1.012", "2,5"], {"thousands": "."}, [1012, 2.5]),
        (["1.234.567"], {"thousands": "."}, [1234567]),
    ],
)
def test_decimals_and_thousands(tmp_path, cells, options, expected):
    rows = "".join(f"{day:%Y-%m-%d};{cell}\n" for day, cell in zip(DAYS, cells, strict=False))
    frame = read_file(written(tmp_path, "date;a\n" + rows), **options)
    np.testing.assert_array_equal(frame["a"].astype(float), expected)


@pytest.mark.parametrize(
    ("cells", "options", "row", "problem"),
    [
        (["7", "1.012"], {}, 2, "'1.012' may have decimals or thousands"),
        (["7", "1.234.567"], {}, 2, "'1.234.567' may have decimals or thousands"),
        (["2,5", "3,5", "1.5", "4,5"], {}, 3, "'1.5' is not a number with a decimal comma"),
        (["2.5", "1,500"], {}, 2, "'1,500' is not a number with a decimal point"),
        (["1.000,5", "2,000.5", "1,5"], {}, 2, "'2,000.5' is not a number with a decimal comma"),
        (["1.5"], {"decimal": ","}, 1, "'1.5' is not a number with a decimal comma"),
    ],
)
def test_ambiguous_numbers_are_refused(tmp_path, cells, options, row, problem):
    """And never read as thousand times as much."""
    text = "sep=;\nb;date;a\n" + "".join(f"1;{i};{cell}\n" for i, cell in enumerate(cells))
    message = refusal(read_file, path := written(tmp_path, text), **options)
    assert message.startswith(f"{path}: column a, row {row} (line {row + 2}): {problem}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "empty"),
        (GOOD.replace("3,4", "3,4,9,9"), "not a CSV table"),
        (GOOD.replace(",2\n", ",2,7\n").replace(",4", ",4,7").replace(",6", ",6,7"), "header"),
        (GOOD.replace("date", ""), "column 1 has no name: name it (date, if it has the"),
        (GOOD.replace(",", "|"), "separated by '|'"),
        (GOOD.replace("a", "a\0"), "not a text file"),
        ("date,größe\n2020-01-01,1\n".encode("latin-1"), "not in UTF-8: save it as UTF-8"),
        (("date,a\n" + "2020-01-01,1\n" * 9000 + "Köln,1\n").encode("latin-1"), "not in UTF-8"),
        (GOOD.encode("utf-16"), "UTF-16"),
    ],
)
def test_no_table(tmp_path, text, expected):
    says(refusal(read_file, path := written(tmp_path, text)), str(path), expected)


@pytest.mark.parametrize(
    ("member", "name", "expected"),
    [
        ("xl/workbook.xml", "x.xlsx", "a .xlsx file, not a CSV: save the sheet as CSV (UTF-8)"),
        ("xl/workbook.xml", "x.csv", "a .xlsx file, not a CSV: save the sheet"),
        ("x.csv", "x.csv", "a .zip file, not a CSV: unpack it"),
        ("gzip", "x.csv", "a .gz file, not a CSV: unpack it"),
        ("x", "x.feather", "a .feather file, not a CSV: save it as CSV or Parquet"),
        ("Parquet", "x.csv", "a .parquet file, not a CSV: rename it to x.parquet"),
    ],
)
def test_other_formats(tmp_path, member, name, expected):
    """The advice needs nothing that is not installed."""
    path = tmp_path / name
    if member == "Parquet":
        pd.DataFrame({"date": DAYS, "a": 1.0}).to_parquet(path)
    elif member == "gzip":
        path.write_bytes(gzip.compress(GOOD.encode()))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(member, GOOD)
    message = refusal(read_file, path)
    assert expected in message
    assert "pandas" not in message


@pytest.mark.parametrize("suffix", [".parquet", ".pq", ".PARQUET"])
def test_parquet(tmp_path, suffix):
    frame = pd.DataFrame({"date": DAYS, "id": "01", "a": range(20), "b": [None, *[1.5] * 19]})
    frame.to_parquet(tmp_path / f"x{suffix}", row_group_size=7)
    pd.testing.assert_frame_equal(read_file(tmp_path / f"x{suffix}"), frame)


@pytest.mark.parametrize("name", ["when", None])
def test_index_of_parquet(tmp_path, name):
    frame = pd.DataFrame({"a": [1.0, 2.0]}, index=pd.DatetimeIndex(DAYS[1:3], name=name))
    frame.to_parquet(tmp_path / "x.parquet")
    found = read_file(tmp_path / "x.parquet")
    assert found[name or "date"].tolist() == DAYS[1:3].tolist()
    assert found.index.tolist() == [0, 1]
    found[1:].to_parquet(tmp_path / "x.parquet")
    assert list(read_file(tmp_path / "x.parquet").columns) == [name or "date", "a"]


def test_parquet_refused(tmp_path):
    assert "not a Parquet file" in refusal(read_file, written(tmp_path, GOOD, "x.parquet"))
    pd.DataFrame({"date": []}).to_parquet(tmp_path / "x.pq")
    assert refusal(read_file, tmp_path / "x.pq").endswith("x.pq: no rows")

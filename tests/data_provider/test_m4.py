"""The files of the M4 competition and windows of their series."""

import pytest

from data_provider.m4 import find_file, read_m4, read_pair
from tests.data_provider import written
from utils.errors import UserError


@pytest.mark.parametrize(
    "text",
    [
        "V1,V2,V3,V4\nH1,1,2.5,3\nH2,4,5,\n",
        '"V1","V2","V3","V4"\n"H1","1","2.5","3"\n"H2","4","5",""\n',
        "id,a,b,c\r\nH1,1,2.5,3\r\nH2,4,5,NA\r\n",
        "V1,V2,V3,V4\nH1,1,2.5,3,,,\n\nH2, 4 , 5 ,NA,NA,,\n",
    ],
)
def test_spellings(tmp_path, text):
    file = read_m4(written(tmp_path, text))
    assert file.ids == ["H1", "H2"]
    assert [values.tolist() for values in file.series] == [[1, 2.5, 3], [4, 5]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no series"),
        ("V1,V2\n", "no series"),
        ("V1,V2,V3\nH1,1,x\n", "line 2 .series H1., column 3: 'x' is not a number"),
        ("V1,V2,V3,V4\nH1,1,2,3\nH2,1,,3\n", "line 3 .series H2., column 3: a missing value"),
        ("V1,V2,V3\nH1,1,inf\n", "'inf'"),
        ("V1,V2,V3\nH1,1,-1e31\n", "column 3: '-1e31' is not a number up to 1e.30"),
        ("V1,V2\nH1,1\nH2,1\nH1,2\n", "line 4: duplicate series H1"),
        ("V1,V2,V3\nH1,,\n", "missing value"),
    ],
)
def test_refused(tmp_path, text, expected):
    with pytest.raises(UserError, match=expected):
        read_m4(written(tmp_path, text))


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        (None, r"neither Test/Hourly-test\.csv nor"),
        ("V1,V2\nH1,1\n", "series H1 has 1 values, not 48"),
        ("V1,V2\nH7,1\nH8,2\n", "different ids"),
    ],
)
def test_pairs_refused(tmp_path, test, expected):
    """Files side by side are found, too."""
    train = written(tmp_path, "V1,V2\nH1,1\n", "Hourly-train.csv")
    assert find_file(tmp_path, "train", "Hourly") == train
    if test is not None:
        written(tmp_path, test, "Hourly-test.csv")
    with pytest.raises(UserError, match=expected):
        read_pair(tmp_path, "Hourly")

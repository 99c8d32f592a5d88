"""Errors of one line, whatever they are about."""

import argparse
import io
import re
import sys

import pytest

from utils.command_line import Parser, guarded, one_line, split_parts
from utils.errors import UserError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb\r\n c", "a b c"),
        ("a\x1b[2Jb\0", "a\\x1b[2Jb\\x00"),
        ("a\u2028b\u202ec", "a b\\u202ec"),
        ("Größe \u65e5\u672c", "Größe \u65e5\u672c"),
    ],
)
def test_one_line(text, expected):
    assert one_line(text) == expected


@pytest.mark.parametrize("error", [UserError("a\nb"), OSError(2, "not\nthere", "a\nb")])
def test_errors_are_one_line(capsys, error):
    def run() -> None:
        raise error

    assert guarded(run) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--modle DLinear", "--modle: did you mean --model?"),
        ("--xyz", "--xyz; python x.py --help"),
        ("--model DLinear b c", "b c (a pattern with * may stand for several files: name one)"),
        ("--mod", "--model: expected one argument"),
        ("", "required: --model"),
    ],
)
def test_wrong_options(capsys, words, message):
    """An unknown option is named, even if others are missing, which it may have been meant for."""
    parser = Parser(prog="python x.py")
    parser.add_argument("--model", required=True)
    with pytest.raises(SystemExit):
        parser.parse_args(words.split())
    assert message in capsys.readouterr().err


def test_a_name_that_the_terminal_can_not_show(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert guarded(lambda: print("Größe \udcff")) == 0
    out.flush()
    assert out.buffer.getvalue() == b"Gr\\xf6\\xdfe \\udcff\n"


@pytest.mark.parametrize(
    ("text", "sizes"),
    [("0.8,0.1,0.1", [0.8, 0.1, 0.1]), ("7000,1000,2000", [7000, 1000, 2000])],
)
def test_split_parts(text, sizes):
    assert split_parts(text) == sizes
    assert [type(size) for size in split_parts(text)] == [type(size) for size in sizes]


@pytest.mark.parametrize(
    "text",
    ["x", "0.8,0.2", "0.8,0.2,0.0", "0.8,0.1,0.2", "1,2", "8,1,0", "a,b,c", "nan,1,0", "-1,1,1"],
)
def test_no_split_parts(text):
    with pytest.raises(argparse.ArgumentTypeError, match=re.escape(text)):
        split_parts(text)

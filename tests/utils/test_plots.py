"""The figures of runs, and of forecasts of the future: what they show, and their files."""

import re
import warnings
from pathlib import Path

import matplotlib.dates
import numpy as np
import pandas as pd
import pytest
from matplotlib import colors
from PIL import Image
from sklearn.metrics import mean_absolute_error, mean_squared_error

from run import main
from tests.conftest import load
from tests.exp.small_runs import argv, experiment
from utils import plots
from utils.naive import naive_lines
from utils.plots import ForecastPanel, plot_future, plot_window

pytestmark = pytest.mark.draws
OKABE_ITO = "#000000 #e69f00 #56b4e9 #009e73 #f0e442 #0072b2 #d55e00 #cc79a7".split()
BRIEF = ("--train_epochs", "1", "--model", "DLinear")


@pytest.fixture
def drawn(monkeypatch):
    """The figures by the names of their files; they are written nevertheless."""
    figures = {}

    def save(figure, path, plain=plots.save):
        figures[Path(path).name] = figure
        return plain(figure, path)

    monkeypatch.setattr(plots, "save", save)
    return figures


def lines(figure, panel: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Coordinates of the labelled lines of a panel."""
    return {
        line.get_label(): (line.get_xdata(), line.get_ydata())
        for line in figure.axes[panel].lines
        if not line.get_label().startswith("_")
    }


def title(figure) -> str:
    return figure.axes[0].get_title(loc="left")


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"(?<=MSE |MAE |APE )[\d.e+-]+\d", text)]


def check_common(figure) -> None:
    axes = figure.axes[0]
    assert axes.get_xlabel()
    assert axes.get_ylabel()
    assert axes.get_legend() is None  # outside of the axes
    used = {colors.to_hex(line.get_color()) for line in axes.lines}
    greys = {colour for colour in used if len({colour[1:3], colour[3:5], colour[5:]}) == 1}
    assert used - greys <= set(OKABE_ITO)


def test_forecasts(workdir, small_data, drawn, results):
    assert main(argv("long_term_forecast", small_data, *BRIEF, "--season_length", "12")) == 0
    pred, true = (load(results() / f"{name}.npy")[..., -1] for name in ("pred", "true"))
    table = pd.read_csv(small_data / "made_up.csv", parse_dates=["date"])
    train = table["OT"][: int(0.7 * len(table))]
    scaled = (table["OT"] - train.mean()) / train.std(ddof=0)
    first = len(table) - int(0.2 * len(table))  # step of the first forecast
    assert [int(Path(name).stem) for name in drawn] == [0, 28, 56, 84, 112]
    for name, figure in drawn.items():
        number = int(Path(name).stem)
        check_common(figure)
        found = lines(figure)
        assert list(found)[:2] == ["truth", "DLinear"]
        start, end = first + number, first + number + 8
        dates = table["date"].to_numpy()
        assert np.array_equal(found["truth"][0], dates[start - 24 : end])
        np.testing.assert_allclose(found["truth"][1], scaled[start - 24 : end], atol=1e-5)
        assert np.array_equal(found["DLinear"][0], dates[start:end])
        assert np.array_equal(found["DLinear"][1], pred[number])
        (naive,) = (label for label in found if label.startswith("seasonal naive (12): MSE "))
        earlier = scaled[start - 12 : end - 12]
        np.testing.assert_allclose(found[naive][1], earlier, atol=1e-5)
        mse = mean_squared_error(true[number], earlier)
        assert numbers(naive) == [pytest.approx(mse, rel=0.01)]
        errors = [e(true[number], pred[number]) for e in (mean_squared_error, mean_absolute_error)]
        assert numbers(title(figure)) == [pytest.approx(error, rel=0.01) for error in errors]
        assert f"made_up.csv · OT · test window {number} of 113" in title(figure)
        days = [f"{dates[i]:}"[:16].replace("T", " ") for i in (start, end - 1)]
        assert " to ".join(days) in title(figure)
        axis = figure.axes[0]
        assert axis.get_ylabel() == "OT (standardised)"
        assert isinstance(axis.xaxis.get_major_formatter(), matplotlib.dates.ConciseDateFormatter)


def test_original_units_and_steps(workdir, small_data, drawn):
    """A file that counts steps has no season and no dates."""
    table = pd.read_csv(small_data / "made_up.csv")
    table["date"] = range(1000, 1000 + len(table))
    table.to_csv("steps.csv", index=False)
    paths = ("--root_path", ".", "--data_path", "steps.csv")
    assert main(argv("long_term_forecast", small_data, *BRIEF, *paths, "--inverse")) == 0
    figure = drawn["0.png"]
    found = lines(figure)
    assert found["truth"][0].tolist() == list(range(1456, 1456 + 32))
    np.testing.assert_allclose(found["truth"][1], table["OT"][456:488], rtol=1e-4)
    (naive,) = (label for label in found if label.startswith("last value: MSE"))
    np.testing.assert_allclose(found[naive][1], [table["OT"][479]] * 8, rtol=1e-4)
    assert figure.axes[0].get_ylabel() == "OT (original units)"


def test_imputations(workdir, small_data, drawn, results):
    assert main(argv("imputation", small_data, *BRIEF, "--mask_rate", "0.4")) == 0
    pred, true, mask = (load(results() / f"{n}.npy")[0, :, -1] for n in ("pred", "true", "mask"))
    figure, missing = drawn["0.png"], mask == 0
    check_common(figure)
    found = lines(figure)
    assert np.array_equal(found["DLinear"][1], pred[missing])
    assert len(found["observed"][0]) == (~missing).sum()
    (linear,) = (label for label in found if label.startswith("linear interpolation"))
    expected = pd.Series(true).where(~missing).interpolate(limit_direction="both")[missing]
    np.testing.assert_allclose(found[linear][1], expected, rtol=1e-5)
    assert numbers(linear) == [pytest.approx(mean_squared_error(true[missing], expected), rel=0.01)]
    mse = mean_squared_error(true[missing], pred[missing])
    assert numbers(title(figure))[0] == pytest.approx(mse, rel=0.01)


def test_m4(workdir, small_data, drawn):
    assert main(argv("short_term_forecast", small_data, *BRIEF)) == 0
    assert list(drawn) == ["W1.png", "W16.png", "W31.png", "W45.png", "W60.png"]
    history = pd.read_csv(small_data / "Train" / "Weekly-train.csv", index_col=0).loc["W16"]
    true = pd.read_csv(small_data / "Test" / "Weekly-test.csv", index_col=0).loc["W16"].to_numpy()
    figure = drawn["W16.png"]
    check_common(figure)
    found = lines(figure)
    assert np.array_equal(found["truth"][1], [*history[-52:], *true])
    assert found["truth"][0].tolist() == list(range(60 - 51, 60 + 14))

    def smape(pred):
        return 200 * np.mean(np.abs(pred - true) / (np.abs(pred) + np.abs(true)))

    last = np.repeat(history.iloc[-1], 13)
    (naive,) = (label for label in found if label.startswith("last value"))
    assert np.array_equal(found[naive][1], last)
    assert numbers(naive) == [pytest.approx(smape(last), rel=0.01)]
    assert numbers(title(figure)) == [pytest.approx(smape(found["DLinear"][1]), rel=0.01)]
    assert "M4 Weekly · series W16" in title(figure)


def test_files(workdir, small_data):
    """Beside each PNG a PDF; those of an earlier run are removed."""
    assert main(argv("long_term_forecast", small_data, *BRIEF)) == 0
    (folder,) = Path("test_results").iterdir()
    names = {path.name for path in folder.iterdir()}
    assert names == {f"{n}.{kind}" for n in (0, 28, 56, 84, 112) for kind in ("png", "pdf")}
    assert all(path.read_bytes()[:5] == b"%PDF-" for path in folder.glob("*.pdf"))
    (folder / "999.pdf").write_bytes(b"of an earlier run")
    with experiment("long_term_forecast", small_data, *BRIEF, "--overwrite").folders.claim():
        assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("steps", "season", "name", "expected"),
    [
        (5, 3, "seasonal naive (3)", [2, 3, 4, 2, 3]),
        (2, 5, "seasonal naive (5)", [0, 1]),
        (2, 1, "last value", [4, 4]),
        (2, 6, "last value", [4, 4]),
    ],
)
def test_naive_forecasts(steps, season, name, expected):
    found, values = next(iter(naive_lines(np.arange(5), steps, season).items()))
    assert (found, values.tolist()) == (name, expected)


def test_missing_characters_are_reported_once(workdir, capsys, monkeypatch):
    monkeypatch.setattr(plots, "reported_missing", set())
    times = pd.date_range("2024-01-01", periods=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("油温", "温度 $_{x}$", "plain"):
            panel = ForecastPanel(name, np.ones(2), np.ones(2), {"CALF": np.ones(2)})
            plot_window("a.png", times, [panel], name)
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "油温" in message
    assert "install" in message


# Forecasts of the future


def future(index: pd.Index, series: int = 1, steps: int = 4) -> tuple[pd.DataFrame, pd.DataFrame]:
    values = np.random.default_rng(0).normal(size=(len(index), series)).cumsum(axis=0)
    table = pd.DataFrame(values, index, [f"series {i}" for i in range(series)])
    return table.iloc[:-steps], table.iloc[-steps:]


def test_future(workdir, drawn):
    history, forecast = future(pd.date_range("2024-01-01", periods=60, freq="D"), series=9)
    bands = {level: (forecast - level, forecast + level) for level in (80, 95)}
    written = plot_future(Path("new") / "my.png", history, forecast, bands, "all", "CALF")
    assert written == [Path("new/my.png"), Path("new/my.pdf")]
    assert Image.open(written[0]).format == "PNG"
    assert sorted(Path("new").iterdir()) == sorted(written)  # no unfinished files
    figure = drawn["my.png"]
    panels = [axes for axes in figure.axes if axes.axison]
    names = [axes.get_title() or axes.get_title(loc="left") for axes in panels]
    assert names == [f"series {i}" for i in (0, 2, 3, 5, 6, 8)]
    assert figure.get_suptitle() == "all (6 of 9 series)"
    found = lines(figure, 1)
    assert np.array_equal(found["CALF"][1], forecast["series 2"])
    assert np.array_equal(found["CALF"][0], forecast.index.to_numpy())
    assert np.array_equal(found["history"][1], history["series 2"].tail(24))
    areas = {area.get_label(): area for area in panels[1].collections}
    assert list(areas) == ["95 % interval", "80 % interval"]  # the wide one below
    heights = areas["95 % interval"].get_paths()[0].vertices[:, 1]
    assert heights.min() == pytest.approx((forecast["series 2"] - 95).min())
    assert heights.max() == pytest.approx((forecast["series 2"] + 95).max())


def test_series_that_end_earlier(workdir, drawn):
    """Each has a time axis of its own, and its own dotted line; the legend has the bands' colours,
    also where they overlap."""
    short, ahead = future(pd.date_range("2023-01-01", periods=60, freq="D"))
    long, later = future(pd.date_range("2024-01-01", periods=60, freq="D"))
    history, forecast = (
        pd.concat([a.set_axis(["early"], axis=1), b.set_axis(["late"], axis=1)], axis=1)
        for a, b in ((short.iloc[:, :1], long.iloc[:, :1]), (ahead.iloc[:, :1], later.iloc[:, :1]))
    )
    plot_future("f.png", history, forecast, {n: (forecast - n, forecast + n) for n in (80, 95)})
    figure = drawn["f.png"]
    for axes, known, year in zip(figure.axes, (short, long), (2023, 2024), strict=True):
        first, last = (matplotlib.dates.num2date(x) for x in axes.get_xlim())
        assert first.year == last.year == year and (last - first).days < 40
        (dotted,) = (line for line in axes.lines if line.get_linestyle() == ":")
        assert dotted.get_xdata()[0] == known.index[-1].to_numpy()
        assert all(area.get_alpha() is None for area in axes.collections)
    shades = [area.get_facecolor()[0] for area in figure.axes[0].collections]
    assert (shades[1] < shades[0])[:2].all()


def test_a_clock_that_is_set_back(workdir, drawn):
    """Repeats an hour of the forecast."""
    index = pd.date_range("2024-10-24 09:00", periods=72, freq="h", tz="Europe/Berlin")
    history, forecast = future(index, steps=12)
    for frame in (history, forecast):
        frame.index = frame.index.tz_localize(None)
    assert not forecast.index.is_unique
    plot_future("f.png", history, forecast, {80: (forecast - 1, forecast + 1)})
    assert len(lines(drawn["f.png"])["forecast"][1]) == 12

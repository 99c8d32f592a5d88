"""Tasks of one's own are told from those that `run.py` starts."""

from exp.exp_imputation import ExpImputation
from run import parse_args
from utils.identity import digest, settings_string, task_of
from utils.results import RunFolders
from utils.tasks import EXPERIMENTS

WORDS = "--task_name imputation --is_training 1 --model_id x --model DLinear --data ETTh1"


class ExpDenoising(ExpImputation):
    """A task of one's own, as docs/extending.md has it."""


def test_a_class_that_run_does_not_start_is_a_task_of_its_own(monkeypatch):
    assert task_of(ExpImputation, "imputation") == "imputation"
    assert task_of(ExpDenoising, "imputation") == "denoising"
    same_name = type("ExpImputation", (ExpImputation,), {"__module__": "elsewhere"})
    assert task_of(same_name, "imputation") == "own_imputation"
    monkeypatch.setitem(EXPERIMENTS, "clean", "exp_clean:ExpClean")
    registered = type("ExpClean", (ExpImputation,), {"__module__": "exp.exp_clean"})
    assert task_of(registered, "clean") == "clean"


def test_it_shares_no_folder_and_no_results_file(workdir):
    args = parse_args(WORDS.split())
    own = args.replace(experiment="denoising")
    assert settings_string(own, 0).startswith("denoising_x_DLinear_")
    assert digest(vars(own)) != digest(vars(args))
    names = []
    for one in (args, own):
        folders = RunFolders(settings_string(one, 0), one)
        with folders.writable():
            names.append((folders.results.name, folders.results_file.name))
    assert names[0][1] == "results_imputation.txt"
    assert names[1][1] == "results_denoising.txt"
    assert not set(names[0]) & set(names[1])

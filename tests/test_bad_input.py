"""Bad input of every kind is refused in one sentence: no traceback, no hang, no nonsense accepted, nothing made."""

import random

import bad_input
import pytest
from slow import long, slow

KINDS = bad_input.KINDS


def _trials(kind, seed, count, folder):
    """What is wrong, case by case."""
    wrong = {}
    for i in range(count):
        case = kind(random.Random(f"{seed} {kind.__name__} {i}"), folder)
        found = bad_input.trial(case)
        if found is not None:
            wrong[case.said] = found
    return wrong


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Names of no folder are names in an empty one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.wrong_types
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_bad_input_is_refused_in_one_sentence(kind, here):
    assert _trials(kind, 0, 20 if kind is bad_input.label_case else 80, here) == {}


@pytest.mark.wrong_types
@pytest.mark.parametrize("share", [slow(5), long(1)])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_five_thousand_bad_inputs_are_refused_in_one_sentence(kind, share, here):
    count = {"label_case": 100, "toml_case": 1000, "line_case": 1500, "call_case": 2400}[kind.__name__]
    assert _trials(kind, "slow", count // share, here) == {}


def test_the_trial_sees_what_is_wrong():
    """The judge is able to fail: an error that is no sentence, nonsense that is taken, a case that takes too long."""
    assert bad_input.trial(bad_input.Case("", lambda: 1 / 0)).startswith("ZeroDivisionError")
    assert bad_input.trial(bad_input.Case("", lambda: None, nonsense=True)) == "accepted"
    assert "no sentence" in bad_input._judged("one line\nand another")


def test_a_run_folder_is_made_without_its_parents(here, capsys):
    with pytest.raises(SystemExit):
        bad_input.cli.main(["run", "--restarts", "4", "--out", "no/such/place"])
    assert capsys.readouterr().err == "landscape: there is no folder no/such to make place in; make it first.\n"
    assert list(here.iterdir()) == []

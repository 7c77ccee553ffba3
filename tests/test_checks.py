"""The rules of configuration fields, and what their refusals say."""

import math

import pytest

from freezeout.checks import (
    check_at_least,
    check_choice,
    check_flag,
    check_name,
    check_share,
    check_target,
    check_whole,
    check_writable,
    lookup,
    nearest,
)

NETWORKS = {"vgg": 1, "wide_resnet": 2, "densenet_bc": 3}


def test_a_known_option_is_its_entry_of_the_table():
    assert lookup("model", NETWORKS, "wide_resnet") == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("wide_resnt", "model=wide_resnt: unknown; did you mean wide_resnet? Available: vgg, wide_resnet, densenet_bc"),
        ("transformer", "model=transformer: unknown. Available: vgg, wide_resnet, densenet_bc"),
        ("VGG", "model=VGG: unknown. Available: vgg, wide_resnet, densenet_bc"),
    ],
)
def test_an_unknown_option_is_refused_with_the_most_similar_and_with_all(given, said):
    with pytest.raises(ValueError, match=r"\S") as refusal:
        lookup("model", NETWORKS, given)
    assert str(refusal.value) == said


def test_where_nothing_is_known_it_says_so():
    assert nearest("vgg", []) == ". Available: none"


def test_a_share_lies_between_0_and_1_with_the_ends_that_are_allowed():
    check_share("x", 0.5)
    check_share("x", 1)
    check_share("x", 0, zero=True)
    for value, ends, interval in (
        (0, {}, r"\(0, 1\]"),
        (1, {"one": False}, r"\(0, 1\)"),
        (-0.1, {"zero": True}, r"\[0, 1\]"),
        (math.nan, {"zero": True}, r"\[0, 1\]"),
    ):
        with pytest.raises(ValueError, match=rf"^x={value}: must lie in {interval}$"):
            check_share("x", value, **ends)


def test_at_least_is_a_finite_number():
    check_at_least("x", 3, 3)
    for value in (2, math.nan, math.inf):
        with pytest.raises(ValueError, match=rf"^x={value}: must be at least 3$"):
            check_at_least("x", value, 3)
    check_at_least("x", 10**400, 3)


def test_a_number_may_have_a_largest_value():
    check_at_least("x", 5, 3, 5)
    for value in (6, 10**400):
        with pytest.raises(ValueError, match=rf"^x={value}: must be at most 5$"):
            check_at_least("x", value, 3, 5)
    for value in (2, math.inf, math.nan):
        with pytest.raises(ValueError, match=rf"^x={value}: must be at least 3$"):
            check_at_least("x", value, 3, 5)


@pytest.mark.parametrize("check", [check_share, lambda name, value: check_at_least(name, value, 0)])
@pytest.mark.parametrize("value", ["0.5", None, True])
def test_what_is_no_number_is_told_from_one_that_is_too_large(check, value):
    with pytest.raises(ValueError, match=rf"^x={value!r}: must be a number$"):
        check("x", value)


def test_true_is_no_whole_number():
    with pytest.raises(ValueError, match=r"^x=True: must be a whole number, and at least 0$"):
        check_whole("x", True, 0)


def test_a_folder_for_results_may_be_made_or_is_one_that_can_be_written_to(tmp_path, monkeypatch):
    check_writable("out=new", tmp_path / "new" / "deeper")
    assert not [*tmp_path.iterdir()]
    (tmp_path / "file").write_text("")
    for inside in ("file", "file/deeper"):
        with pytest.raises(
            ValueError, match=r"^out=x: cannot write there \(/.*/file is not a folder\); choose another"
        ):
            check_writable("out=x", tmp_path / inside)
    monkeypatch.setattr("freezeout.checks.os.access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(ValueError, match=r"^out=x: cannot write there \(Permission denied\); choose another folder$"):
        check_writable("out=x", tmp_path)


def test_a_flag_is_no_word():
    check_flag("x", False)
    for value in ("no", "false", 0, None):
        with pytest.raises(ValueError, match=rf"^x={value}: must be true or false$"):
            check_flag("x", value)


def test_a_choice_is_one_of_the_words_allowed():
    check_choice("x", "a", ("a", "b"))
    with pytest.raises(ValueError, match=r"^x=c: must be one of a, b$"):
        check_choice("x", "c", ("a", "b"))
    with pytest.raises(ValueError, match=r"^x=cubik: must be one of linear, cubic; did you mean cubic\?$"):
        check_choice("x", "cubik", ("linear", "cubic"))


@pytest.mark.parametrize("target", ["module", "module:", ":function", ""])
def test_a_target_names_a_module_and_a_function(target):
    check_target("x", "package.module:function")
    with pytest.raises(ValueError, match=rf"^x={target}: must be package\.module:function$"):
        check_target("x", target)


@pytest.mark.parametrize("value", ["", ".", "..", ".a", "../a", "a/b", "a b", "a\n", "é", "a" * 101])
def test_a_name_is_a_plain_file_name(value):
    with pytest.raises(ValueError, match=r"^sweep="):
        check_name("sweep", value)
    check_name("sweep", "-a.B_2")


@pytest.mark.parametrize("value", [0, 1.0, 12.5, math.inf, math.nan, "3", None])
def test_a_whole_number_is_refused_where_it_is_none_or_too_small(value):
    check_whole("x", 1, 1)
    with pytest.raises(ValueError, match=rf"^x={value}: must be a whole number, and at least 1$"):
        check_whole("x", value, 1)

"""Text of commands and reports: the near match of a misspelt name, and Markdown tables."""

from datasets_prep.common.text import did_you_mean, markdown_table, told_apart


def test_the_near_match_is_named():
    assert did_you_mean("presett", ["scale", "preset"]) == "did you mean 'preset'?"
    assert did_you_mean("xyz", ["scale", "preset"]) == "" == did_you_mean("x", [])


def test_markdown_tables():
    assert markdown_table(["a", "b"], [["1", "2"]]) == "| a | b |\n|---|---|\n| 1 | 2 |"
    assert markdown_table(["a", "b"], [], rule=" --- ") == "| a | b |\n| --- | --- |"


def test_different_numbers_look_different():
    assert told_apart(0.25, 0.3) == ["0.25", "0.3"]
    assert told_apart(1.0, 1.0000001) == ["1", "1.0000001"]
    assert told_apart(0.3004, 0.3, 0.2) == ["0.3004", "0.3", "0.2"]
    assert told_apart(1.0, 1.0) == ["1", "1"] and told_apart(36.3, 36, digits=2) == ["36.3", "36"]

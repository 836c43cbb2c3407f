"""Text of commands and reports: the near match of a misspelt name, and Markdown tables."""

from datasets_prep.common.text import did_you_mean, markdown_table


def test_the_near_match_is_named():
    assert did_you_mean("presett", ["scale", "preset"]) == "did you mean 'preset'?"
    assert did_you_mean("xyz", ["scale", "preset"]) == "" == did_you_mean("x", [])


def test_markdown_tables():
    assert markdown_table(["a", "b"], [["1", "2"]]) == "| a | b |\n|---|---|\n| 1 | 2 |"
    assert markdown_table(["a", "b"], [], rule=" --- ") == "| a | b |\n| --- | --- |"

"""Every verb explains itself, and what its help shows can be typed."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from collections.abc import Iterator

import pytest

from ipdsf_spark.cli.main import EXAMPLES, VERBS, main, parser_for


def help_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main([*words, "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


def commands_in(text: str) -> list[list[str]]:
    """The `ipdsf …` lines of an epilog, without their explanation or comment."""
    lines = re.findall(r"^[ ]+(ipdsf .*?)(?:[ ]{2,}.*|[ ]+[#|>].*)?$", text, flags=re.MULTILINE)
    return [shlex.split(line)[1:] for line in lines]


def test_help_lists_every_verb_with_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(help_of(capsys).split())

    assert all(f"{verb} {purpose}" in text for verb, (_, purpose) in VERBS.items())


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_shows_examples_that_can_be_typed(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    examples = commands_in(help_of(capsys, verb).partition("examples:")[2])

    assert examples, f"ipdsf {verb} --help shows no example"
    for words in examples:
        assert words[0] == verb
        parser_for(verb).parse_args(words)


def leaves(parser: argparse.ArgumentParser, *words: str) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """The parsers below `parser` that have no verbs below them, by the words that lead there."""
    below = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield words, parser
    for choices in below:
        for name, sub in choices.items():
            yield from leaves(sub, *words, name)


def parser_of(verb: str) -> argparse.ArgumentParser:
    return next(action.choices[verb] for action in parser_for(verb)._actions if isinstance(action.choices, dict))


@pytest.mark.parametrize("verb", VERBS)
def test_every_action_below_a_verb_shows_an_example_of_its_own(verb: str) -> None:
    for words, parser in leaves(parser_of(verb), verb):
        examples = commands_in((parser.epilog or "").partition("examples:")[2])
        assert any(tuple(each[: len(words)]) == words for each in examples), f"{' '.join(words)} --help"
        for each in examples:
            parser_for(verb).parse_args(each)


@pytest.mark.parametrize("verb", VERBS)
def test_one_thing_has_one_option_at_all_verbs(verb: str) -> None:
    for words, parser in leaves(parser_of(verb), verb):
        options = [action.option_strings for action in parser._actions]
        assert all(each == ["-o", "--output"] for each in options if {"-o", "--output", "--out"} & set(each)), words
        assert ["--set"] in options or ["--config"] not in options, words
        assert not any("" in (action.choices or ()) for action in parser._actions), words


@pytest.mark.parametrize("words", commands_in(EXAMPLES), ids=" ".join)
def test_the_first_examples_a_newcomer_sees_can_be_typed(words: list[str]) -> None:
    if "--help" not in words:
        parser_for(words[0]).parse_args(words)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_documents_every_argument(verb: str) -> None:
    parser = parser_of(verb)

    def undocumented(parser: object) -> list[str]:
        found = []
        for action in parser._actions:  # type: ignore[attr-defined]
            if isinstance(action.choices, dict):
                found += [name for sub in action.choices.values() for name in undocumented(sub)]
            elif not action.help:
                found.append(action.option_strings[0] if action.option_strings else action.dest)
        return found

    assert undocumented(parser) == []
    assert importlib.import_module(VERBS[verb][0]).__doc__

"""Characters and words in any script."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate import codecs

TEXT = st.text(st.characters(codec="utf-8"), max_size=40) | st.text(
    "aB'\u2019. \n,-é\u0301न\u094d", max_size=40
)


@given(TEXT.filter(bool), TEXT)
def test_characters_come_back(training, other):
    codec = codecs.Characters().fit(training)
    assert codec.decode(codec.encode(training)) == training
    known = "".join(letter if letter in training else "\ufffd" for letter in other)
    assert codec.decode(codec.encode(other)) == known
    assert codec.size == len(set(training)) + 1
    assert codec.symbols_ == sorted(set(training))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The cat sat.", ["The", "cat", "sat", "."]),
        ("don't, won\u2019t 'quoted'", ["don't", ",", "won\u2019t", "'", "quoted", "'"]),
        ("a\nb\r\nc", ["a", "\n", "b", "\n", "c"]),
        ("3.5% of x_1", ["3", ".", "5", "%", "of", "x_1"]),
        ("Größe café cafe\u0301", ["Größe", "café", "cafe\u0301"]),
        ("हिन्दी भाषा।", ["हिन्दी", "भाषा", "।"]),
        ("שָׁלוֹם مُحَمَّد", ["שָׁלוֹם", "مُحَمَّد"]),
        ("日本語、です", ["日本語", "、", "です"]),
        ("wow 👍🏽!!", ["wow", "👍", "🏽", "!", "!"]),
        ("  \t ", []),
    ],
)
def test_words_of_many_scripts(text, words):
    assert codecs.Words().fit("x").tokens(text) == words


def test_spaces_split_and_case():
    spaces = codecs.Words(split="spaces").fit("a <unk> @-@ b\nc")
    assert spaces.tokens("a <unk> @-@ b\nc") == ["a", "<unk>", "@-@", "b", "\n", "c"]
    assert spaces.decode(spaces.encode("a <unk> @-@ b\nc")) == "a <unk> @-@ b\nc"
    lower = codecs.Words(lower=True).fit("The THE ÄRGER ärger")
    assert lower.symbols_ == ["the", "ärger"]
    assert lower.encode("thE Ärger Other").tolist() == [1, 2, 0]


def test_the_most_frequent_words_stay_and_ties_are_alphabetical():
    codec = codecs.Words(max_size=3).fit(["d c b a", "c d", "d", None])
    assert codec.symbols_ == ["d", "c", "a"]
    assert codec.encode("a b c d").tolist() == [3, 0, 2, 1]
    assert codec.decode([0, 1]) == "\ufffd d"
    assert codec.size == 4


@settings(max_examples=200)
@given(TEXT)
def test_words_put_together_fall_apart_the_same_way(text):
    codec = codecs.Words().fit("x " + text)
    ids = codec.encode(text)
    assert codec.encode(codec.decode(ids)).tolist() == ids.tolist()


@settings(max_examples=300)
@given(TEXT, st.lists(st.integers(0, 40)), st.sampled_from(["words", "spaces"]), st.booleans())
def test_any_cutting_of_a_text_gives_the_words_of_the_whole(text, cuts, split, lower):
    codec = codecs.Words(split=split, lower=lower).fit("x " + text)
    edges = [0, *sorted(cut for cut in cuts if cut <= len(text)), len(text)]
    reader = codec.stream()
    ids = []
    for start, stop in itertools.pairwise(edges):
        ids += reader.feed(text[start:stop])
        moved = codec.stream()
        moved.pending = reader.pending  # goes on from there
        reader = moved
    assert ids + reader.flush() == codec.encode(text).tolist()
    assert reader.flush() == []


def test_a_stream_gives_a_word_as_soon_as_it_is_certain():
    reader = codecs.Words().fit("good morning").stream()
    assert [reader.feed(letter) for letter in "good morning"].index([1]) == len("good m") - 1


def test_word_characters_are_at_least_those_of_re():
    letters = [chr(code) for code in range(0x20000) if re.fullmatch(r"\w", chr(code))]
    codec = codecs.Words().fit("x")
    assert codec.tokens("".join(letters)) == ["".join(letters)]


def test_ids_are_whole_numbers():
    assert codecs.Words().fit("a").encode("").dtype == np.int64
    assert codecs.Characters().fit("a").encode("").dtype == np.int64

"""Language models: characters or words.

estimator   LanguageModel: fit, evaluate, generate, stream
documents   files, folders and tables -> documents
vocabulary  symbols <-> ids              job      lanes, windows, carried state
live        one symbol in, surprise out  scoring  bits per character, perplexity
ngram       the baselines
"""

from .estimator import LanguageModel

__all__ = ["LanguageModel"]

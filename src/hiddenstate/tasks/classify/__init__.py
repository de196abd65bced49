"""Sequence classification: recordings, sensor windows, texts.

estimator   SequenceClassifier: fit, predict, evaluate, stream
inputs      whatever holds sequences -> sequences, labels
features    sequences <-> arrays        labels   classes and their weights
split, job  what is held back, what the training loop needs
calibrate   honest probabilities        live     one element in, probabilities out
metrics     accuracy, F1, log loss      baselines  majority class, logistic regression
"""

from .estimator import SequenceClassifier

__all__ = ["SequenceClassifier"]

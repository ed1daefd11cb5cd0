"""DAPO and its family of algorithms for training language models with verifiable rewards."""

from dapo.api import evaluate, train

__all__ = ["evaluate", "train"]

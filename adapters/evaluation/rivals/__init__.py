"""Rivals: what keeps a model from speaking without training it, each a wrapper around the same model.

Every table has them beside the methods. A method that does no better than these has earned nothing.
"""

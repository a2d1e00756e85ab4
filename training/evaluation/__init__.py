"""Measures models and responses; imported piece by piece, since some pieces need torch."""

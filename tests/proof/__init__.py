"""The long proofs, run whole by `make proof` and small by `make test`."""

"""The ledger: models, sessions, migrations, the verbs that read and write it, import and export.

Knows nothing of pages, torch or Tinker. Statistics come from ``preference``.
"""

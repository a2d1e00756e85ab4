"""Preference statistics: values in, frozen results out. No SQL, no torch, no Streamlit.

docs/statistics.md says what each number means; `preference.report` puts them together.
"""

from preference.agreement import (
    Agreement,
    cohen_kappa,
    fleiss_kappa,
    gwet_ac1,
    krippendorff_alpha,
)
from preference.annotators import AnnotatorTable, CrowdFit, annotator_table, fit_crowd
from preference.asking import Pick, enough, next_pairs
from preference.bradley_terry import BradleyTerryFit, Estimate, fit_bradley_terry, fit_cells
from preference.comparisons import (
    Differences,
    QuasiErrors,
    Ranks,
    pairwise_differences,
    quasi_se,
    rank_intervals,
)
from preference.diagnostics import goodness_of_fit, intransitive_cycles
from preference.drift import drift
from preference.errors import (
    ConfoundedError,
    ConvergenceError,
    DisconnectedError,
    InputError,
    PreferenceError,
    ReportError,
    SeparationError,
    UnidentifiedError,
)
from preference.item_covariates import ItemCovariatesFit, fit_item_covariates
from preference.lack_of_fit import LackOfFit
from preference.length_control import LengthControlled, length_controlled_win_rate
from preference.pair_crowd import PairCrowd, fit_pair_crowd
from preference.ratings_by import RatingsBy, ratings_by
from preference.resampling import Bootstrap, bootstrap
from preference.sequential import ConfidenceSequence, win_rate_sequence
from preference.win_rate import PairWinRates, WinRates, wilson, win_rates

__all__ = [
    "Agreement",
    "AnnotatorTable",
    "Bootstrap",
    "BradleyTerryFit",
    "ConfidenceSequence",
    "ConfoundedError",
    "ConvergenceError",
    "CrowdFit",
    "Differences",
    "DisconnectedError",
    "Estimate",
    "InputError",
    "ItemCovariatesFit",
    "LackOfFit",
    "LengthControlled",
    "PairCrowd",
    "PairWinRates",
    "Pick",
    "PreferenceError",
    "QuasiErrors",
    "Ranks",
    "RatingsBy",
    "ReportError",
    "SeparationError",
    "UnidentifiedError",
    "WinRates",
    "annotator_table",
    "bootstrap",
    "cohen_kappa",
    "drift",
    "enough",
    "fit_bradley_terry",
    "fit_cells",
    "fit_crowd",
    "fit_item_covariates",
    "fit_pair_crowd",
    "fleiss_kappa",
    "goodness_of_fit",
    "gwet_ac1",
    "intransitive_cycles",
    "krippendorff_alpha",
    "length_controlled_win_rate",
    "next_pairs",
    "pairwise_differences",
    "quasi_se",
    "rank_intervals",
    "ratings_by",
    "wilson",
    "win_rate_sequence",
    "win_rates",
]

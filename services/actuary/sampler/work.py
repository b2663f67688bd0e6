"""What the sampler's Jobs do in their process, by kind of Job; each task has a module of its own.

Each reads artifacts, calls the pure decisions of `risking`, `judging`, `planning` and `estimating`, and
writes one artifact. Chance comes from the campaign's key alone, so a Job that dies and is repeated writes the
same.
"""

from __future__ import annotations

from collections.abc import Mapping

from actuary.jobs import worker
from actuary.sampler import fit_risk, make_estimate, make_plan, make_quote, proving

TASKS: Mapping[str, worker.Task] = {
    "risk": fit_risk.FitRisk(),
    "quote": make_quote.MakeQuote(),
    "plan": make_plan.MakePlan(),
    "estimate": make_estimate.MakeEstimate(),
    "certificate": proving.IssueCertificate(),
}
"""By kind of Job."""

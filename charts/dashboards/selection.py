"""Which series a query is about: those of the namespaces and instances chosen at the top of a dashboard.

The labels come from the scrape, not from Actuary. Where a Prometheus adds none, a variable has nothing to
offer and stands at All, which matches series without the label too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as models

NAMESPACE, INSTANCE = "namespace", "instance"
_SELECTOR = re.compile(r"\b((?:actuary|process)_\w+)(?:{([^{}]*)})?")
_OF_PROCESSES = ("actuary_rpc_", "actuary_kubernetes_", "process_")
"""What each process says about itself. Who leads is asked of all: one alone may rightly lead nothing."""


def select(expression: str, labels: Sequence[str]) -> str:
    """A query with every selector narrowed to what is chosen.

    >>> select('sum(rate(actuary_rpc_seconds_count{code="OK"}[5m]))', [NAMESPACE])
    'sum(rate(actuary_rpc_seconds_count{code="OK",namespace=~"$namespace"}[5m]))'
    >>> select("actuary_workers + actuary_rpc_watchers", [INSTANCE])
    'actuary_workers + actuary_rpc_watchers{instance=~"$instance"}'
    """

    def narrowed(found: re.Match[str]) -> str:
        name, matchers = found[1], found[2]
        known = [label for label in labels if label != INSTANCE or name.startswith(_OF_PROCESSES)]
        parts = [*([matchers] if matchers else []), *(f'{label}=~"${label}"' for label in known)]
        return f"{name}{{{','.join(parts)}}}" if parts else name

    return _SELECTOR.sub(narrowed, expression)


def variable(label: str, source: models.DataSourceRef) -> dashboard.QueryVariable:
    """The choice of a label's values at the top of a dashboard."""
    # what every process exports, whoever leads
    series = "actuary_rpc_watchers" + ("" if label == NAMESPACE else '{namespace=~"$namespace"}')
    every = models.VariableOption(selected=True, text="All", value="$__all")
    return (
        dashboard.QueryVariable(label)
        .label(label.capitalize())
        .datasource(source)
        .query(f"label_values({series}, {label})")
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(every)
    )

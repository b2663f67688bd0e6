"""Actuary labels a data set with a model, prices the risk of each label, and spends people where they pay.

`actuary.Client` talks to a server from Python; the command line is `actuary`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actuary.client import Client

__all__ = ["Client", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # imported when asked for: a worker that only needs `actuary.jobs` must not pay for gRPC
    if name == "Client":
        from actuary.client import Client

        return Client
    raise AttributeError(f"module 'actuary' has no attribute {name!r}")

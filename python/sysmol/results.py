"""What ``sysmol bench --json`` wrote, read back and checked."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from sysmol.errors import SysmolError

__all__ = ["read"]

#: What every row has: a name for its case, and positive numbers where there is a peer.
_NUMBERS = ("ours_ms", "peer_ms", "ratio", "ceiling_share", "weight_bytes", "float_bytes")


def _fault(row: object) -> str | None:
    """Why something is no row of a result."""
    if not isinstance(row, dict):
        return "a row is no object"
    if not isinstance(row.get("case"), str):
        return "a row has no 'case' that is a text"
    where = f"in the row '{row['case']}' "
    if "peer" not in row or not isinstance(row["peer"], str | None):
        return where + "'peer' is missing or no text"
    for key in ("ours_ms", *(("peer_ms", "ratio") if row["peer"] else ())):
        if key not in row:
            return where + f"'{key}' is missing"
    for key in _NUMBERS:
        value = row.get(key)
        if value is not None and (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not 0 < value < math.inf
        ):
            return where + f"'{key}' is no positive number"
    return None


def read(path: Path) -> dict[str, Any]:
    """The result of a benchmark.

    Parameters
    ----------
    path : Path
        What ``sysmol bench --json`` wrote.

    Returns
    -------
    dict
        With ``rows``, a list of dicts that have ``case``, ``peer``, ``ours_ms`` and, where there
        is a peer, ``peer_ms`` and ``ratio``; and ``environment``.

    Raises
    ------
    SysmolError
        It cannot be read, is no JSON, or has a row that is none.
    """
    try:
        result: Any = json.loads(path.read_text())
    except OSError as error:
        raise SysmolError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise SysmolError(f"{path}: no JSON of a benchmark: {error}") from error
    if not isinstance(result, dict):
        raise SysmolError(f"{path}: no JSON of a benchmark: there are no rows")
    rows = result.get("rows")
    if not isinstance(rows, list) or not rows:
        raise SysmolError(f"{path}: no JSON of a benchmark: there are no rows")
    if not isinstance(result.get("environment", {}), dict):
        raise SysmolError(f"{path}: no JSON of a benchmark: 'environment' is no object")
    for row in rows:
        if fault := _fault(row):
            raise SysmolError(f"{path}: no JSON of a benchmark: {fault}")
    return result

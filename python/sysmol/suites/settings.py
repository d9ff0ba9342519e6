"""What all suites share: settings, and how a row is made."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sysmol.costs import CostTable
from sysmol.measure import Burst, Latency, pinned, timed, turns
from sysmol.runtime import measure_cycles
from sysmol.suites.engines import Call

__all__ = ["OURS", "Settings", "make_rows", "measure"]

#: Name of our own measurements among those of a case.
OURS = "ours"


@dataclass
class Settings:
    """What was asked for.

    Attributes
    ----------
    threads : int
        Of one call, ours and the peers'.
    peers : set of str
        Of onnxruntime, openvino, torch, ggml.
    filter : str
        A regular expression; only cases in whose name it is found are measured.
    scale : float
        Factor on the seconds that each case is measured.
    table : CostTable
        Ceilings of this machine.
    missing : dict of str to str
        Peers that could not run, and why; filled by the suites.
    """

    table: CostTable
    threads: int = 1
    peers: frozenset[str] = frozenset({"onnxruntime", "openvino", "torch", "ggml"})
    filter: str = ""
    scale: float = 1.0
    missing: dict[str, str] = field(default_factory=dict)

    def wants(self, case: str) -> bool:
        """Whether the filter lets the case through."""
        return re.search(self.filter, case) is not None


def measure(
    make_ours: Callable[[], Mapping[str, Callable[[], Burst]]],
    make_peers: Callable[[], Mapping[str, Call]],
    burst: float,
    seconds: float,
    settings: Settings,
) -> tuple[dict[str, Latency], dict[str, Latency], float]:
    """Measure a case: ours and the peers in turns, all of their threads on the same CPUs.

    Parameters
    ----------
    make_ours : callable
        Gives a burst of each of our variants. Run, as the next, when the CPUs are chosen: models
        and peers start threads.
    make_peers : callable
        Gives the peers' calls.
    burst : float
        Seconds of one burst of a peer.
    seconds : float
        Of measuring, for each variant and each peer.
    settings : Settings

    Returns
    -------
    tuple of dict, dict, float
        Our latencies, the peers', and the core's cycles a second.
    """
    with pinned(settings.threads):
        ours = make_ours()
        cases: dict[str, Callable[[], Burst]] = {
            f"{OURS} {mix}": call for mix, call in ours.items()
        }
        cases |= {peer: timed(call, burst) for peer, call in make_peers().items()}
        cycles = measure_cycles()
        found = turns(cases, settings.scale * seconds * len(cases))
        cycles = max(cycles, measure_cycles())
    mixes = {mix: found.pop(f"{OURS} {mix}") for mix in ours}
    return mixes, found, cycles


def make_rows(
    case: str,
    measured: Mapping[str, Latency],
    peers: Mapping[str, Latency],
    macs: Mapping[str, Mapping[int, float]],
    cycles_per_second: float,
    settings: Settings,
    more: Mapping[str, Any] | None = None,
    needed: Mapping[int, float] | None = None,
) -> list[dict[str, Any]]:
    """Rows of one case: each of our variants against each peer, or by itself without peers.

    Parameters
    ----------
    case : str
        Name of what was measured.
    measured : mapping of str to Latency
        Our variants, by the name of their mix.
    peers : mapping of str to Latency
    macs : mapping of str to mapping of int to float
        Multiply-accumulates at each level, of each variant.
    cycles_per_second : float
        Of the core while it was measured.
    settings : Settings
    more : mapping, optional
        Goes into every row.
    needed : mapping of int to float, optional
        Multiply-accumulates at each level that the chosen algorithms do, where these are others:
        fewer where windows are computed by tiles. The ceiling is theirs.
    """
    rows = []
    for mix, ours in measured.items():
        total = sum(macs[mix].values())
        rate = total / (ours.minimum * 1e-3 * cycles_per_second)
        done = needed or macs[mix]
        ceiling = settings.table.ceiling(done) * total / sum(done.values()) * settings.threads
        base = {
            "case": f"{case}, {mix}",
            "ours_ms": ours.minimum,
            "ours_median_ms": ours.median,
            "mac_per_cycle": rate,
            "ceiling": ceiling,
            "ceiling_share": rate / ceiling,
            "threads": settings.threads,
            "runs": ours.runs,
            **(more or {}),
        }
        against: list[tuple[str | None, Latency | None]] = [*peers.items()] or [(None, None)]
        for name, taken in against:
            row = dict(base)
            row["peer"] = name
            row["peer_ms"] = taken.minimum if taken else None
            row["peer_median_ms"] = taken.median if taken else None
            row["ratio"] = taken.minimum / ours.minimum if taken else None
            row["ratio_median"] = taken.median / ours.median if taken else None
            rows.append(row)
    return rows

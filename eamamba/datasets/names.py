"""Matching files by name: rules on names without suffixes, independent of any file system.

No rule relies on order alone: if one file were missing, the others would be paired with the wrong
images.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

SHOTS_APART = 5
"""Largest difference between the numbers of two photographs of one scene; 1 or 2 in DPDD."""

_NUMBER = re.compile(r"([0-9]+)")
_SHOT = re.compile(r"(?P<before>.*?)(?P<number>[0-9]+)(?P<after>[^0-9]*)", re.DOTALL)

NameKey = tuple[str | int, ...]


def natural(name: str) -> NameKey:
    """Return a key that sorts ``2`` before ``10`` and treats ``2`` and ``02`` as equal."""
    parts = _NUMBER.split(name.casefold())
    return tuple(int(part) if position % 2 else part for position, part in enumerate(parts))


def partners(
    degraded: Iterable[str], clean: Iterable[str], candidates: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Return the clean name of each degraded one: the first of its candidates that exists."""
    known = set(clean)
    chosen = {
        name: next((other for other in candidates[name] if other in known), None)
        for name in degraded
    }
    return {name: other for name, other in chosen.items() if other is not None}


def prefixes(name: str) -> list[str]:
    """Return a name and its prefixes up to each underscore, the longest first."""
    parts = name.split("_")
    return ["_".join(parts[:length]) for length in range(len(parts), 0, -1)]


def same_or_consecutive(degraded: Sequence[str], clean: Sequence[str]) -> dict[str, str]:
    """Match the two photographs of each scene.

    Equal names are matched first, then those that differ only in leading zeros or in case. If no
    names are equal, they are treated as the shot numbers of a camera: see `_consecutive`.

    Returns
    -------
    dict
        Degraded name -> clean name; names without a partner are left out.
    """
    pairs = {name: name for name in set(degraded) & set(clean)}
    rest = [[name for name in side if name not in pairs] for side in (degraded, clean)]
    named = [_unique(side) for side in rest]
    pairs |= {name: named[1][key] for key, name in named[0].items() if key in named[1]}
    return pairs or _consecutive(degraded, clean)


def _unique(names: Iterable[str]) -> dict[NameKey, str]:
    names = list(names)
    counts = Counter(natural(name) for name in names)
    return {natural(name): name for name in names if counts[natural(name)] == 1}


def _consecutive(degraded: Sequence[str], clean: Sequence[str]) -> dict[str, str]:
    """Match shots in the order of their numbers, if unambiguous.

    The two shots of a pair are at most `SHOTS_APART` apart, with the same text before the number
    and no shot of another pair between them. Otherwise nothing is matched.
    """
    first, second = _shots(degraded), _shots(clean)
    if first is None or second is None or len(first) != len(second):
        return {}
    pairs: dict[str, str] = {}
    last: tuple[str, int] | None = None
    for (before, number, name), (other_before, other_number, other) in zip(
        first, second, strict=True
    ):
        low, high = sorted((number, other_number))
        is_near = before == other_before and high - low <= SHOTS_APART
        if not is_near or (last is not None and last >= (before, low)):
            return {}
        last = (before, high)
        pairs[name] = other
    return pairs


def _shots(names: Sequence[str]) -> list[tuple[str, int, str]] | None:
    """Return text, number and name of each shot, in order; None if the names have no numbers."""
    found = [_SHOT.fullmatch(name) for name in names]
    if not all(found) or len({match["after"] for match in found if match}) != 1:
        return None
    shots = sorted(
        (match["before"].casefold(), int(match["number"]), match.string) for match in found if match
    )
    return shots if len({shot[:2] for shot in shots}) == len(shots) else None


def large_names(name: str, scale: int) -> list[str]:
    """Return the possible names of a small image's large counterpart, the most likely first.

    ``0001x2``, ``0001_LR``, ``0001_SRF_2_LR`` and ``0001`` itself belong to ``0001``,
    ``0001_HR`` or ``0001_SRF_2_HR``.
    """
    base = re.sub(rf"(x{scale}|_LR|_SRF_{scale}_LR|_SRF_{scale})$", "", name, flags=re.IGNORECASE)
    return [base, f"{base}_HR", f"{base}_SRF_{scale}_HR", name]


def numbered(small: Iterable[str], large: Iterable[str], scale: int) -> dict[str, str]:
    """Match ``img_003_SRF_2_LR`` with the third of the large images by name.

    Only if the numbers run from 1 to the number of large images; otherwise nothing is matched. The
    caller must compare the pictures as well, since these names prove little.
    """
    ordered = sorted(large, key=natural)
    pattern = re.compile(rf"[a-z]*_?([0-9]+)(_SRF_{scale})?(_LR|x{scale})?", re.IGNORECASE)
    found = {name: pattern.fullmatch(name) for name in small}
    numbers = {name: int(match[1]) for name, match in found.items() if match}
    if sorted(numbers.values()) != list(range(1, len(ordered) + 1)) or len(numbers) != len(found):
        return {}
    return {name: ordered[number - 1] for name, number in numbers.items()}

"""Reads a zip as every reader might: by its local headers, and by every central directory in it. Never raises.

Readers of zips disagree. Some follow the central directory that they find from the end, some the local headers from the
begin; where two headers describe one member differently, each believes another one. So a member here has a reading for
each description:

    archive = read_zip(data, bounds)
    for member in archive.members:
        for reading in member.readings:                # one, unless headers differ
            for piece in decompress(reading, budget):  # `decompress.py`
                ...                                    # after a `DataFault`, also member.others

What lies inside a member that ends where its headers say is left to reading that member's content: an archive within an
archive has headers that look like those of the outer one, also where deflate did not make it smaller.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from miltscan.core.anomalies import ZipAnomaly
from miltscan.core.containers.budget import DEFAULT_BOUNDS, ContainerBounds, ContainerLimit
from miltscan.core.containers.decompress import KNOWN_METHODS, STORED, Packed
from miltscan.core.containers.zip_headers import AES, ZipHeader, local_header
from miltscan.core.containers.zip_records import (
    ZipRecords,
    differences,
    directory_anomalies,
    open_ends,
    outer_records,
    referred,
    scan_records,
)

_DISAGREE = frozenset(
    {ZipAnomaly.METHOD_DIFFERS, ZipAnomaly.SIZE_DIFFERS, ZipAnomaly.NAME_DIFFERS, ZipAnomaly.FLAGS_DIFFER}
)


class ZipMember(NamedTuple):
    """A member as its headers describe it. `names` are those of all headers, raw, each once.

    `readings` are the contents that readers may show; a member that is `encrypted` has them as well, because some
    readers ignore that flag. `others` ignore the sizes of the headers: they are needed only if a reading ends in a
    `DataFault`. `size` is the largest that a header has, in bytes; `too_large`: it is above clamd's MaxFileSize.
    """

    path: str
    names: tuple[bytes, ...]
    readings: tuple[Packed, ...]
    others: tuple[Packed, ...]
    size: int
    too_large: bool
    encrypted: bool
    anomalies: frozenset[ZipAnomaly]

    @property
    def disagrees(self) -> bool:
        """Whether two headers of this member differ in method, size, name or flags."""
        return not self.anomalies.isdisjoint(_DISAGREE)


class ZipArchive(NamedTuple):
    """The members in the order of their data, what is odd about them, and the bounds that were exceeded."""

    members: tuple[ZipMember, ...]
    anomalies: frozenset[ZipAnomaly]
    exceeded: frozenset[ContainerLimit]


class _Entry(NamedTuple):
    """A member before it is read: its headers, the local one first, and where its data begins.

    `ends` are the places where stored data may end if the local header does not say their size.
    """

    headers: Sequence[ZipHeader]
    start: int
    ends: Sequence[int]
    anomalies: set[ZipAnomaly]


def read_zip(data: bytes | memoryview, bounds: ContainerBounds = DEFAULT_BOUNDS) -> ZipArchive:
    """Find the members of the zips in `data`, wherever they begin. No member means no zip.

    A member is decompressed only if headers stand in its data, to see whether it ends where its own headers say.

    The work is linear in the size of `data`; `bounds.members` bounds the headers of each kind, and the readings.
    """
    view = memoryview(data)
    found, exceeded = scan_records(view, bounds)
    records = outer_records(view, found, bounds)
    anomalies = {*directory_anomalies(view, records)}
    if exceeded:
        anomalies.discard(ZipAnomaly.DIRECTORY_DIFFERS)  # of the members that it counts, some were not looked at
    members: list[ZipMember] = []
    left = bounds.members
    for entry in _entries(view, records):
        member = _member(view, str(len(members)), entry, bounds, left)
        left -= len(member.readings)
        if left < 0:
            exceeded.add(ContainerLimit.MEMBERS)
            break
        if bounds.clock() > bounds.deadline:
            exceeded.add(ContainerLimit.TIME)
            break
        members.append(member)
        anomalies |= member.anomalies
        exceeded |= {ContainerLimit.FILE} if member.too_large else set()
    return ZipArchive(tuple(members), frozenset(anomalies), frozenset(exceeded))


def _entries(view: memoryview, records: ZipRecords) -> Iterator[_Entry]:
    centrals: dict[int, list[ZipHeader]] = defaultdict(list)
    missing: list[tuple[ZipHeader, int]] = []
    wrong: set[int] = set()
    for central, at, anomaly in referred(records):
        if anomaly is ZipAnomaly.LOCAL_MISSING:
            missing.append((central, at))
            continue
        centrals[at].append(central)
        if anomaly:
            wrong.add(at)
    ends = open_ends(view, records)
    until = 0
    for local in records.locals:
        headers = [local, *centrals[local.at]]
        found_ends = ends.get(local.after, ())
        claimed = {local.after + each.packed for each in headers if each.packed is not None}
        odd = {
            ZipAnomaly.SIZE_DIFFERS: bool(claimed and found_ends) and not claimed.issubset(found_ends),
            ZipAnomaly.HIDDEN_MEMBER: len(headers) == 1 and bool(records.centrals),
            ZipAnomaly.OFFSET_WRONG: local.at in wrong,
            ZipAnomaly.OVERLAP: local.at < until,
        }
        until = max(until, local.after + max(each.packed or 0 for each in headers))
        anomalies = differences(headers) | {anomaly for anomaly, found in odd.items() if found}
        yield _Entry(headers, local.after, found_ends, anomalies)
    for central, at in missing:  # some readers do not look at the signature of a local header
        unsigned = local_header(view, at) if at >= 0 else None
        anomalies = differences([central]) | {ZipAnomaly.LOCAL_MISSING}
        yield _Entry([central], unsigned.after if unsigned else len(view), (), anomalies)


def _member(view: memoryview, path: str, entry: _Entry, bounds: ContainerBounds, most: int) -> ZipMember:
    """The member with at most `most` readings and one more, by which the caller sees that there are too many."""
    headers, start = entry.headers, entry.start
    methods = tuple({each.method: None for each in headers if each.method != AES})
    claims = tuple({(each.packed, each.size): None for each in headers if each.packed is not None})
    anomalies = set(entry.anomalies)
    if any(start + (packed or 0) > len(view) for packed, _ in claims):
        anomalies.add(ZipAnomaly.TRUNCATED)
    if not KNOWN_METHODS.issuperset(methods):
        anomalies.add(ZipAnomaly.METHOD_UNKNOWN)
    whole = [Packed(method, view[start:], None) for method in methods if method in KNOWN_METHODS - {STORED}]
    others = whole if claims else []  # without a claim, the readings are these
    readings = [*islice(_readings(view, entry, methods, claims), most + 1)]
    if anomalies & _DISAGREE:
        readings, others = [*readings, *others], []
    size = max((size or 0 for _, size in claims), default=0)
    return ZipMember(
        path=path,
        names=tuple({name: None for each in headers for name in each.names}),
        readings=tuple(readings),
        others=tuple(others),
        size=size,
        too_large=size > bounds.file,
        encrypted=any(each.encrypted for each in headers),
        anomalies=frozenset(anomalies),
    )


def _readings(
    view: memoryview, entry: _Entry, methods: Iterable[int], claims: Sequence[tuple[int | None, int | None]]
) -> Iterator[Packed]:
    """Each method with each pair of sizes: a reader may take the method from one header and the sizes from another."""
    start = entry.start
    encrypted = all(each.encrypted for each in entry.headers)  # then 12 bytes of the data are not the content's
    for method in methods:
        if method == STORED:
            sizes = {packed for packed, _ in claims} if encrypted else {size for claim in claims for size in claim}
            ends = {*entry.ends, *(start + (size or 0) for size in sizes)}
            yield from (Packed(STORED, view[start:end], None) for end in sorted(ends) if end > start)
        elif claims:
            yield from (Packed(method, view[start : start + (packed or 0)], size) for packed, size in claims if packed)
        else:
            yield Packed(method, view[start:], None)

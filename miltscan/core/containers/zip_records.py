"""The records of a zip as they belong together: which central header means which local one. Pure.

Offsets may be wrong, data may stand before or behind the archive, and one archive behind another: `referred` finds the
local header all the same, and says what is odd. `outer_records` leaves out the records of archives inside this one.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from miltscan.core.anomalies import ZipAnomaly
from miltscan.core.containers.budget import Budget, ContainerBounds, ContainerLimit
from miltscan.core.containers.decompress import STORED, DataFault, Packed, decompress
from miltscan.core.containers.zip_headers import (
    CENTRAL,
    DESCRIPTOR,
    ENCRYPTED,
    END,
    LOCAL,
    EndRecord,
    ZipHeader,
    central_header,
    descriptor_end,
    descriptor_ends,
    end_record,
    local_header,
    positions,
)

_SPLIT_MARKERS = (b"", b"PK00", DESCRIPTOR)  # what may stand before the first header of a plain archive (8.5.4)


class ZipRecords(NamedTuple):
    """The headers of all kinds wherever their signatures stand, in order of position."""

    locals: Sequence[ZipHeader]
    centrals: Sequence[ZipHeader]
    ends: Sequence[EndRecord]
    descriptors: Sequence[int] = ()


def scan_records(view: memoryview, bounds: ContainerBounds) -> tuple[ZipRecords, set[ContainerLimit]]:
    """All records in `view`, of each kind at most `bounds.members`, and the bound if there are more."""
    exceeded: set[ContainerLimit] = set()

    def places(signature: bytes) -> list[int]:
        found = [*islice(positions(view, signature), bounds.members + 1)]
        if len(found) > bounds.members:
            exceeded.add(ContainerLimit.MEMBERS)
        return found[: bounds.members]

    local_headers = [header for at in places(LOCAL) if (header := local_header(view, at))]
    central_headers = [header for at in places(CENTRAL) if (header := central_header(view, at))]
    end_records = [end for at in places(END) if (end := end_record(view, at))]
    descriptors = places(DESCRIPTOR) if any(map(_has_open_end, local_headers)) else ()
    return ZipRecords(local_headers, central_headers, end_records, descriptors), exceeded


def referred(records: ZipRecords) -> Iterator[tuple[ZipHeader, int, ZipAnomaly | None]]:
    """Each central header with the position of its local header, and what is odd about that.

    Its offset counts from the begin of its own archive. Where no local header is there, an offset may count from the
    begin of the data, or be wrong: then the last header of that name before the directory is taken.
    """
    places = {header.at for header in records.locals}
    named: dict[bytes, list[int]] = defaultdict(list)
    for header in records.locals:
        named[header.names[0]].append(header.at)
    ends = [end.at for end in records.ends]
    for central in records.centrals:
        following = bisect_left(ends, central.at)
        expected = central.offset + (records.ends[following].base if following < len(ends) else 0)
        same_name = named.get(central.names[0], ())
        before = bisect_left(same_name, central.at)
        if expected in places:
            yield central, expected, None
        elif central.offset in places:
            yield central, central.offset, ZipAnomaly.OFFSET_WRONG
        elif before:
            yield central, same_name[before - 1], ZipAnomaly.OFFSET_WRONG
        else:
            yield central, expected, ZipAnomaly.LOCAL_MISSING


def outer_records(view: memoryview, records: ZipRecords, bounds: ContainerBounds) -> ZipRecords:
    """The records without those inside members, which belong to archives inside this one.

    No reader takes them for records of this archive if the member ends where its headers say: not one that follows the
    directory, which is behind the member, nor one that reads from header to header, or to the end of each stream.
    """
    centrals: dict[int, list[ZipHeader]] = defaultdict(list)
    for central, at, _ in referred(records):
        centrals[at].append(central)
    places = sorted(each.at for kind in records[:3] for each in kind)
    ends = open_ends(view, records)
    budget = Budget(bounds, len(view))
    starts, stops = [0], [0]
    for header in records.locals:
        known = [header, *centrals[header.at]]
        stop = header.after + (known[-1].packed or 0)
        is_first = header.at >= stops[-1] and records.ends and records.ends[-1].at >= stop
        has_records = bisect_left(places, header.after) < bisect_left(places, stop)
        if is_first and has_records and len(known) > 1 and _ends_there(view, known, stop, ends, budget):
            starts.append(header.after)
            stops.append(stop)

    def inner(at: int) -> bool:
        return at < stops[bisect_right(starts, at) - 1]

    return ZipRecords(
        [each for each in records.locals if not inner(each.at) or not all(inner(c.at) for c in centrals[each.at])],
        [each for each in records.centrals if not inner(each.at)],
        [each for each in records.ends if not inner(each.at)],
        records.descriptors,
    )


def _ends_there(
    view: memoryview, headers: Sequence[ZipHeader], stop: int, ends: Mapping[int, Sequence[int]], budget: Budget
) -> bool:
    """Whether all headers of a member agree, and its data end at `stop` for readers without a directory as well."""
    start, central = headers[0].after, headers[-1]
    if differences(headers):
        return False
    if central.method == STORED:
        return set(ends.get(start, [stop])) == {stop}
    pieces = decompress(Packed(central.method, view[start:stop], central.size), budget)
    return not any(isinstance(piece, DataFault | ContainerLimit) for piece in pieces)


def open_ends(view: memoryview, records: ZipRecords) -> Mapping[int, Sequence[int]]:
    """Where the data of stored members may end whose local header does not say it, by their begin."""
    starts = [header.after for header in records.locals if _has_open_end(header)]
    described: dict[int, list[int]] = defaultdict(list)
    for start, end in descriptor_ends(view, records.descriptors):
        described[start].append(end)
    borders = sorted(each.at for kind in records[:3] for each in kind)
    ends: dict[int, Sequence[int]] = {}
    for start in starts:
        following = bisect_left(borders, start)
        border = borders[following] if following < len(borders) else len(view)
        ends[start] = sorted({*described[start]}) or [descriptor_end(view, start, border)]
    return ends


def differences(headers: Sequence[ZipHeader]) -> set[ZipAnomaly]:
    """What the headers of one member disagree about; of stored data both sizes must be the same."""
    known = [each for each in headers if each.packed is not None]
    several = len({each.packed for each in known}) > 1 or len({each.size for each in headers} - {None}) > 1
    stored = any(each.method == STORED and not each.encrypted for each in headers)
    differs = {
        ZipAnomaly.METHOD_DIFFERS: len({each.method for each in headers}) > 1,
        ZipAnomaly.SIZE_DIFFERS: several or (stored and any(each.packed != each.size for each in known)),
        ZipAnomaly.NAME_DIFFERS: len({each.names for each in headers}) > 1,
        ZipAnomaly.FLAGS_DIFFER: len({each.flags & ENCRYPTED for each in headers}) > 1,
    }
    return {anomaly for anomaly, found in differs.items() if found}


def directory_anomalies(view: memoryview, records: ZipRecords) -> Iterator[ZipAnomaly]:
    """What is odd about the central directories, and about the places where the data begin and end."""
    if records.locals:
        first = records.locals[0].at
        if bytes(view[: min(first, 5)]) not in _SPLIT_MARKERS:
            yield ZipAnomaly.DATA_BEFORE
        if not records.centrals:
            yield ZipAnomaly.NO_DIRECTORY
    if records.centrals and not records.ends:
        yield ZipAnomaly.NO_END
    if len(records.ends) > 1:
        yield ZipAnomaly.JOINED
    centrals = [each.at for each in records.centrals]
    counts = [bisect_left(centrals, end.at) - bisect_left(centrals, end.directory) for end in records.ends]
    if sum(counts) != len(centrals) or any(
        (count - end.entries) & 0xFFFF for count, end in zip(counts, records.ends, strict=True)
    ):
        yield ZipAnomaly.DIRECTORY_DIFFERS
    if records.ends:
        after = records.ends[-1].after
        if after != len(view):
            yield ZipAnomaly.DATA_AFTER if after < len(view) else ZipAnomaly.TRUNCATED


def _has_open_end(header: ZipHeader) -> bool:
    """Whether neither the header nor the data themselves say where the data end."""
    return header.method == STORED and header.packed is None

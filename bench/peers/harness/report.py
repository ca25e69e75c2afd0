"""One table of all measurements: medians over the rounds, and ratios to Capstan of the same round."""

import collections
import statistics

#: Beyond this share of the machine used by others or stolen, a line is marked.
NOISY = 0.15

HEADER = ("durability", "measured", "peer", "rate /s", "× Capstan", "p50 ms", "p99 ms", "processor µs", "× Capstan", "of it")


def table(records):
    """The table as Markdown."""
    measured = [record for record in records if "phase" in record]
    lines = collections.defaultdict(dict)
    for record in measured:
        lines[_line(record)][record["round"]] = record
    with_flushes_too = _restate_beside_interval(lines)
    rows = [_row(line, rounds, lines) for line, rounds in [*lines.items(), *with_flushes_too]]
    rows.sort(key=lambda row: row[0])
    text = [_markdown(HEADER), _markdown("-" for _ in HEADER)]
    text += [_markdown(cells) for _, cells in rows]
    return "\n".join(text)


def _line(record):
    return (record["durability"], record["phase"], record.get("clients", 0), record["peer"])


def _restate_beside_interval(lines):
    """Restate with its flushes, as further lines among those of `interval`."""
    if not any(line[0] == "interval" for line in lines):
        return []
    return [
        (("interval", phase, clients, "restate, flushing"), rounds)
        for (durability, phase, clients, peer), rounds in lines.items()
        if peer == "restate" and durability == "always"
    ]


def _row(line, rounds, lines):
    durability, phase, clients, peer = line
    capstan = lines.get((durability, phase, clients, "capstan"), {})

    def median(pick):
        values = [pick(record) for record in rounds.values()]
        values = [value for value in values if value is not None]
        return statistics.median(values) if values else None

    def ratio(pick):
        pairs = [(pick(record), pick(capstan[number])) for number, record in rounds.items() if number in capstan]
        ratios = [ours / theirs for ours, theirs in pairs if ours is not None and theirs]
        return statistics.median(ratios) if ratios and peer != "capstan" else None

    split_of = "memory_mb" if phase == "memory" else "cpu_us"
    names = list(next(iter(rounds.values()))[split_of])
    split = ", ".join(f"{name} {_number(median(lambda r: r[split_of].get(name)))}" for name in names)
    noisy = median(lambda record: record.get("others", 0) + record.get("stolen", 0)) > NOISY
    cells = [
        durability,
        _title(phase, clients, next(iter(rounds.values()))),
        peer + (" ~" if noisy else ""),
        _number(median(lambda record: record.get("rate"))),
        _number(ratio(lambda record: record.get("rate"))),
        _number(median(lambda record: record.get("p50_ms"))),
        _number(median(lambda record: record.get("p99_ms"))),
    ]
    if phase == "memory":
        cells += ["", "", f"{split}: {_number(median(lambda r: sum(r[split_of].values())))} MB"]
    else:
        total = lambda record: sum(record["cpu_us"].values())
        cells += [_number(median(total)), _number(ratio(total)), split]
    phases = ("accept", "memory", "single", "burst")
    return (durability, phases.index(phase), clients, peer != "capstan", peer), cells


def _title(phase, clients, record):
    if phase == "accept":
        return f"accept, {clients} client{'s' if clients > 1 else ''}"
    if phase == "burst":
        return f"burst of {record['tasks']} tasks to the last result"
    return {"single": "one task after another", "memory": "memory after the accepts"}[phase]


def _number(value):
    if value is None:
        return ""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _markdown(cells):
    return "| " + " | ".join(cells) + " |"

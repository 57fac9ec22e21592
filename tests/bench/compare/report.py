"""The results as text."""
from targets import targets

MIB = 1 << 20


def plain(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


COLUMNS = (  # title, figure, scale
    ("requests/s", "rate", 1), ("CPU us/req", "cpu_us", 1), ("P50 us", "p50", 1), ("P99 us", "p99", 1),
    ("P99.9 us", "p999", 1), ("MB/s", "bytes_per_second", 1e-6), ("cores", "cores", 1),
)


def table(rows):
    """Columns as wide as they have to be: the first to the left, the rest to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *rest = zip(row, widths)
        lines.append("  ".join([first[0].ljust(first[1]), *(cell.rjust(w) for cell, w in rest)]).rstrip())
    return "\n".join(lines)


def memory_cell(results, case, system):
    """RSS of each process at its peak, in MiB."""
    names = [name for name in results.figures(case, system) if name.startswith("peak ")]
    return " ".join(f"{name[5:]} {results.median(case, system, name) / MIB:.1f}" for name in names)


def added_cell(results, case, system):
    """Median latency beyond direct's."""
    found = results.by_round(case, "p50", lambda row: row[system] - row["direct"])
    return plain(found[1]) if found else ""


def case_table(results, case):
    systems = results.rounds[case]
    columns = [c for c in COLUMNS if any(results.median(case, system, c[1]) is not None for system in systems)]
    with_added = case.endswith(" c1") and any(c[1] == "p50" for c in columns)
    spread_of = "bytes_per_second" if any(c[1] == "bytes_per_second" for c in columns) else "rate"
    rows = [["", *(c[0] for c in columns), *(["added us"] if with_added else []), "least to most", "errors",
             "peak MiB"]]
    for system in systems:
        row = [system]
        for _, figure, scale in columns:
            value = results.median(case, system, figure)
            row.append("" if value is None else plain(value * scale) if figure != "cores" else f"{value:.2f}")
        if with_added:
            row.append("" if system == "direct" else added_cell(results, case, system))
        spread = results.spread(case, system, spread_of)
        scale = 1e-6 if spread_of == "bytes_per_second" else 1
        row.append(f"{plain(spread[0] * scale)}-{plain(spread[2] * scale)}" if spread else "")
        errors, failed = results.errors(case, system)
        row.append(f"{errors}" + (f", {failed} rounds failed" if failed else ""))
        row.append(memory_cell(results, case, system))
        rows.append(row)
    return f"{case}\n{table(rows)}"


def target_table(results, ours):
    rows = [["target", "goal", "reached", ""]]
    for target in targets(results, ours):
        rows.append([target.what, target.goal, target.reached(),
                     "" if target.spread is None else "met" if target.met else "NOT MET"])
    return f"targets of {ours} (medians of ratios by round)\n{table(rows)}"


def facts_table(results):
    rows = [["", "idle tunnelc MiB", "first answer ms"]]
    for system, facts in results.facts.items():
        if "idle_tunnelc_rss" in facts:
            rows.append([system, f"{facts['idle_tunnelc_rss'] / MIB:.1f}",
                         f"{facts['first_answer_seconds'] * 1000:.1f}"])
    return table(rows) if len(rows) > 1 else ""


def text(results):
    parts = [case_table(results, case) for case in results.rounds]
    parts.append(facts_table(results))
    parts += [target_table(results, ours) for ours in results.facts if ours.startswith("ours")]
    return "\n\n".join(part for part in parts if part)

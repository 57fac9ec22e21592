"""The results as one SVG: a panel for each case and figure, a bar for each system, and a line from the least to the
most of its rounds. Readable on light and dark."""
from xml.sax.saxutils import escape

COLUMNS, WIDTH, LABEL, BAR, GAP, TITLE, MARGIN = 2, 460, 96, 16, 6, 30, 24
VALUE = 110  # for the number behind the longest bar
PANELS = (  # what of a case is shown: its kind, figure, title, scale
    ("rate", "rate", "requests/s", 1),
    ("rate", "cpu_us", "CPU µs a request", 1),
    ("rate", "p99", "P99, µs", 1),
    ("steady", "p99", "P99, µs", 1),
    ("bulk", "bytes_per_second", "MB/s", 1e-6),
)
SIDES = {"h1": "HTTP/1.1", "h2": "HTTP/2 over TLS", "h2c": "HTTP/2 in the clear"}
SIZES = {"13": "13 B", "1K": "1 KiB", "64K": "64 KiB", "100M": "100 MB"}
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f; }
  .title { font-weight: 600; font-size: 13px; }
  .head { font-weight: 600; font-size: 16px; }
  .faint { fill: #57606a; }
  .bar { fill: #8c959f; } .ours { fill: #0969da; }
  .range { stroke: #24292f; stroke-width: 1.5; }
  .axis { stroke: #d0d7de; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .faint { fill: #9198a1; }
    .bar { fill: #6e7681; } .ours { fill: #4493f8; }
    .range { stroke: #e6edf3; } .axis { stroke: #3d444d; }
  }
"""


def describe(case):
    """"h1 13 c64" for people, and its kind."""
    words = case.split()
    kind = words.pop(0) if words[0] in ("steady", "down", "up") else "rate"
    side, body, connections = words
    text = f"{SIDES[side]}, {SIZES[body]}, {connections[1:]} at once"
    if kind == "steady":
        return "steady", f"{SIDES[side]}, {SIZES[body]}, steady 1,000 requests/s"
    return ("bulk", f"{'download' if kind == 'down' else 'upload'}, {text}") if kind != "rate" else ("rate", text)


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def panel(title, rows, x, y):
    """rows: (system, least, median, most)."""
    most = max(row[3] for row in rows) or 1
    room = WIDTH - LABEL - VALUE - MARGIN
    out = [f'<text class="title" x="{x}" y="{y + 14}">{escape(title)}</text>']
    left = x + LABEL
    bottom = y + TITLE + len(rows) * (BAR + GAP)
    out.append(f'<line class="axis" x1="{left}" y1="{y + TITLE - 4}" x2="{left}" y2="{bottom}"/>')
    for i, (system, least, median, highest) in enumerate(rows):
        top = y + TITLE + i * (BAR + GAP)
        middle = top + BAR / 2
        kind = "bar ours" if system.startswith("ours") else "bar"
        out.append(f'<text x="{left - 8}" y="{middle + 4}" text-anchor="end">{escape(system)}</text>')
        out.append(f'<rect class="{kind}" x="{left}" y="{top}" width="{median / most * room:.1f}" height="{BAR}" '
                   'rx="2"/>')
        out.append(f'<line class="range" x1="{left + least / most * room:.1f}" y1="{middle}" '
                   f'x2="{left + highest / most * room:.1f}" y2="{middle}"/>')
        out.append(f'<text class="faint" x="{left + highest / most * room + 8:.1f}" y="{middle + 4}">'
                   f'{number(median)}</text>')
    return out, bottom - y


def panels(results):
    """(title, rows) of each that has something to show."""
    for case, systems in results.rounds.items():
        kind, text = describe(case)
        for of, figure, title, scale in PANELS:
            rows = [(system, *(value * scale for value in results.spread(case, system, figure)))
                    for system in systems if results.spread(case, system, figure)]
            if of == kind and rows:
                yield f"{title}: {text}", rows


def svg(results):
    out, y, row_height = [], 64, 0
    shown = list(panels(results))
    for i, (title, rows) in enumerate(shown):
        column = i % COLUMNS
        if column == 0 and i:
            y, row_height = y + row_height + MARGIN, 0
        drawn, height = panel(title, rows, MARGIN + column * WIDTH, y)
        out += drawn
        row_height = max(row_height, height)
    about = results.about
    below = f"{about.get('rounds', '?')} rounds of {about.get('seconds', '?')} s, {about.get('date', '')}, " \
            f"{about.get('machine', '')}; bars: medians, lines: least to most"
    width, height = 2 * MARGIN + COLUMNS * WIDTH, y + row_height + MARGIN
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'role="img" aria-label="Comparison on loopback">', f"<style>{STYLE}</style>",
        f'<text class="head" x="{MARGIN}" y="28">Side by side on loopback, one worker each</text>',
        f'<text class="faint" x="{MARGIN}" y="46">{escape(below)}</text>', *out, "</svg>", ""])

"""Line plots over time as SVG: as much of it as the reports need. Colours are classes, which the page's style sets."""
import math
from html import escape

WIDTH, HEIGHT = 860, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 14, 12, 34
STYLE = """
.plot { width: 100%; height: auto; max-width: 860px; display: block; }
.plot text { font: 11px system-ui, sans-serif; fill: var(--soft); }
.plot .grid { stroke: var(--line); stroke-width: 1; }
.plot .step { stroke: var(--line); stroke-width: 1; stroke-dasharray: 3 3; }
.plot polyline { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.plot circle { stroke: none; }
""" + "".join(f".plot .c{i} {{ stroke: var(--c{i}); }} .plot circle.c{i}, .key .c{i} {{ fill: var(--c{i}); "
              f"background: var(--c{i}); }}\n" for i in range(8))


def nice_ticks(top, count=5):
    """0 and round numbers up to top or just above it."""
    if top <= 0:
        return [0, 1]
    raw = top / count
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw)
    return [i * step for i in range(math.ceil(top / step - 1e-9) + 1)]


def log_ticks(low, high):
    """Powers of ten around the values."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [10.0 ** i for i in range(first, max(last, first + 1) + 1)]


def number(value):
    if value >= 1e6:
        return f"{value / 1e6:g}M"
    if value >= 1e4:
        return f"{value / 1e3:g}k"
    return f"{value:g}"


class Scale:
    """From values to places in the picture."""

    def __init__(self, end, ticks, logarithmic):
        self.end, self.ticks, self.logarithmic = end, ticks, logarithmic

    def x(self, t):
        return LEFT + (WIDTH - LEFT - RIGHT) * (t / self.end if self.end else 0)

    def y(self, value):
        low, high = self.ticks[0], self.ticks[-1]
        if self.logarithmic:
            value, low, high = (math.log10(max(v, self.ticks[0])) for v in (value, low, high))
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low)


def line(x1, y1, x2, y2, kind):
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def axes(scale, marks):
    out = []
    for tick in scale.ticks:
        y = scale.y(tick)
        out.append(line(LEFT, y, WIDTH - RIGHT, y, "grid"))
        out.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{number(tick)}</text>')
    for tick in nice_ticks(scale.end, 8):
        if tick <= scale.end:
            out.append(f'<text x="{scale.x(tick):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">'
                       f'{number(tick)}</text>')
    out.extend(line(scale.x(t), TOP, scale.x(t), HEIGHT - BOTTOM, "step") for t in marks)
    out.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">seconds</text>')
    return out


def curve(scale, i, name, points):
    if len(points) == 1:
        t, value = points[0]
        shape = f'<circle class="c{i}" r="3" cx="{scale.x(t):.1f}" cy="{scale.y(value):.1f}">'
        return f"{shape}<title>{escape(name)}</title></circle>"
    places = " ".join(f"{scale.x(t):.1f},{scale.y(value):.1f}" for t, value in points)
    return f'<polyline class="c{i}" points="{places}"><title>{escape(name)}</title></polyline>'


def plot(title, series, marks=(), logarithmic=False):
    """A figure of {name: [(t, value)]}, with vertical marks at those times; on a log scale values of 0 are left out."""
    if logarithmic:
        series = {name: [(t, v) for t, v in points if v > 0] for name, points in series.items()}
    values = [value for points in series.values() for _, value in points]
    end = max([t for points in series.values() for t, _ in points], default=1)
    if logarithmic:
        ticks = log_ticks(min(values, default=1), max(values, default=10))
    else:
        ticks = nice_ticks(max(values, default=1))
    scale = Scale(end or 1, ticks, logarithmic)
    parts = axes(scale, marks)
    parts += [curve(scale, i % 8, name, points) for i, (name, points) in enumerate(series.items()) if points]
    keys = "".join(f'<span><i class="c{i % 8}"></i>{escape(name)}</span>' for i, name in enumerate(series))
    return (f"<figure><figcaption>{escape(title)}</figcaption><div class=\"key\">{keys}</div>"
            f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{escape(title)}">{"".join(parts)}</svg></figure>')

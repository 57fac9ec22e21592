"""What a run's figures are written to: report.html, report.md, summary.txt, results.csv (steps), seconds.csv."""
import csv
import os
import platform
from html import escape
from pathlib import Path

import plots
from scenarios import ANCESTOR

PERCENTILES = (("P50", "p50_us"), ("P75", "p75_us"), ("P90", "p90_us"), ("P95", "p95_us"), ("P99", "p99_us"),
               ("P99.9", "p99_9_us"), ("max", "max_us"))
KINDS = ("connect", "reset", "closed", "timeout", "status_4xx", "status_5xx", "malformed", "unsent")
ROLES = ("tunneld", "proxyentry", "tunnelc", "load_origin", "load_generator")
MIB = 2 ** 20

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>{title}</title><style>
:root {{ color-scheme: light dark; --back: #fff; --text: #1d2126; --soft: #5b6470; --line: #dde1e6; --good: #1a7f37;
  --bad: #c62828; --c0: #2463c4; --c1: #d4700a; --c2: #248a4b; --c3: #9a3fb5; --c4: #c23a3a; --c5: #0e8a94;
  --c6: #8a6d1b; --c7: #6b7280; }}
@media (prefers-color-scheme: dark) {{ :root {{ --back: #14171b; --text: #e4e7eb; --soft: #9aa4b0; --line: #2e343c;
  --good: #56c271; --bad: #ff7b72; --c0: #6aa5f8; --c1: #f4a04a; --c2: #5fc98a; --c3: #cf8ce6; --c4: #f08080;
  --c5: #4fc6d0; --c6: #d6b95c; --c7: #a3abb6; }} }}
body {{ background: var(--back); color: var(--text); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 60rem; padding: 0 1rem; }}
h1 {{ font-size: 1.5rem; }} h2 {{ font-size: 1.15rem; margin-top: 2rem; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .88rem; margin: .6rem 0 1.2rem; }}
th, td {{ padding: .25rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }}
th:first-child, td:first-child {{ text-align: left; }} th {{ color: var(--soft); font-weight: 600; }}
figure {{ margin: 1.2rem 0; }} figcaption {{ font-weight: 600; }}
.key {{ font-size: .82rem; color: var(--soft); }} .key span {{ margin-right: 1rem; white-space: nowrap; }}
.key i {{ display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .35em; }}
.met {{ color: var(--good); }} .missed {{ color: var(--bad); }} code {{ font-size: .9em; }}
{style}</style></head><body>
{body}
</body></html>
"""


def ms(us):
    return f"{us / 1000:.2f}"


def share(one):
    return 100 * one["good"] / one["planned"] if one["planned"] else 0.0


def errors_text(errors):
    return ", ".join(f"{kind} {errors[kind]:,}" for kind in KINDS if errors.get(kind)) or "none"


def step_name(step):
    body = f", POST {step['body'] // 1024} KB" if step["body"] else ""
    return f"{step['rate']:,.0f}/s{body}"


# ---- the tables: (title, head, rows), which each format writes in its way ----

def table_steps(result):
    head = ["step", "s", "planned", "good", "success %", *(f"{name} ms" for name, _ in PERCENTILES), "late", "starved",
            "errors"]
    rows = []
    for name, seconds, one in [*((step_name(step), f"{step['seconds']:g}", step) for step in result["steps"]),
                               ("all", "", result["total"])]:
        rows.append([name, seconds, f"{one['planned']:,}", f"{one['good']:,}", f"{share(one):.3f}",
                     *(ms(one[key]) for _, key in PERCENTILES), f"{one['late']:,}", f"{one['starved']:,}",
                     errors_text(one["errors"])])
    return f"{result['part'].name}: latency from the planned time, by step", head, rows


def table_processes(result):
    head = ["process", "how many", "CPU s", "CPU % of one core", "CPU us a request", "RSS MiB at first",
            "RSS MiB at most"]
    lasted = result["samples"][-1]["t"] or 1
    rows = []
    for role in ROLES:
        seen = [sample["roles"][role] for sample in result["samples"] if role in sample["roles"]]
        if not seen:
            continue
        cpu, good = result["cpu"].get(role, 0.0), result["total"]["answered"]
        rows.append([role, str(max(one["n"] for one in seen)), f"{cpu:.2f}", f"{100 * cpu / lasted:.1f}",
                     f"{1e6 * cpu / good:.1f}" if good else "-", f"{seen[0]['rss'] / MIB:.1f}",
                     f"{max(one['rss'] for one in seen) / MIB:.1f}"])
    return f"{result['part'].name}: processes (of several of a kind the sum)", head, rows


def sustained_rate(results):
    """The highest rate of a step of one client without an error; None if no step of one client was run."""
    rates = [step["rate"] for result in results for step in result["steps"]
             if result["part"].clients == result["part"].sessions == 1 and step["planned"] == step["good"]]
    return max(rates, default=None)


def table_ancestor(scenario, results):
    total = results[0]["total"]
    rate = sustained_rate(results)
    head = ["", "ancestor's ramp", f"ours, {scenario.name}"]
    rows = [
        ["success %", f"{ANCESTOR['success_best']} at best, {100 - ANCESTOR['failed_worst']:g} at worst",
         f"{min(share(result['total']) for result in results):.3f}"],
        ["P50 ms", f"{ANCESTOR['p50_ms']}", ms(total["p50_us"])],
        ["P99 ms", f"{ANCESTOR['p99_ms']:g}", ms(total["p99_us"])],
        ["one client's requests/s", ANCESTOR["client_rate"], "-" if rate is None else f"{rate:,.0f} without an error"],
    ]
    return "Beside our ancestor's figures", head, rows


def tables(scenario, results):
    found = []
    for result in results:
        found += [table_steps(result), table_processes(result)]
    return [*found, table_ancestor(scenario, results)]


def notes(results):
    """What has to be known to read the figures."""
    found = []
    for result in results:
        total = result["total"]
        if result["churned"]:
            how = "stopped" if result["part"].churn == "stop" else "killed"
            found.append(f"{result['part'].name}: {result['churned']} clients {how}, and as many begun.")
        if total["late"] * 100 > total["planned"]:
            found.append(f"{result['part'].name}: {total['late']:,} requests were sent 1 ms and more after their time, "
                         f"{total['starved']:,} of them because the load itself had no processor, the others for want "
                         "of a connection; their latency has that wait in it.")
    return found


# ---- the formats ----

def summary(scenario, results):
    """Plain text: verdicts, and a line a step."""
    out = [f"{scenario.name}: {scenario.what}"]
    for result in results:
        for step in result["steps"]:
            out.append(f"  {result['part'].name} {step_name(step):<20} {share(step):7.3f} % of {step['planned']:>9,}  "
                       f"P50 {ms(step['p50_us'])}  P99 {ms(step['p99_us'])}  P99.9 {ms(step['p99_9_us'])} ms  "
                       f"errors: {errors_text(step['errors'])}")
        _, _, processes = table_processes(result)
        out.append("  " + "; ".join(f"{row[0]} {row[3]} % CPU, {row[6]} MiB" for row in processes))
    out += [f"  note: {note}" for note in notes(results)]
    out += [f"  {'met' if met else 'NOT MET'}: {text}" for result in results for text, met in result["verdicts"]]
    return "\n".join(out) + "\n"


def machine():
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} processors ({model}), Linux {platform.release()}"


def introduction(meta):
    kind = "A shortened run: it shows that things work, not how fast. " if meta["fast"] else ""
    return (f"{kind}{meta['begun']}, {machine()}; load, origin and tunnel on the same machine. Latency counts from the "
            "planned time of a request to the last byte of its answer, of answers below 400.")


def markdown(scenario, results, meta):
    out = [f"# Load test {scenario.name}: {scenario.what}", "", introduction(meta), "", f"    {meta['command']}", ""]
    out += [f"- {'met' if met else '**not met**'}: {text}" for result in results for text, met in result["verdicts"]]
    out += [f"- {note}" for note in notes(results)]
    for title, head, rows in tables(scenario, results):
        out += ["", f"## {title}", "", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
        out += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(out) + "\n"


def html_table(title, head, rows):
    def cells(tag, row):
        return "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row)
    lines = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (f"<h2>{escape(title)}</h2><div class=\"scroll\"><table><thead><tr>{cells('th', head)}</tr></thead>"
            f"<tbody>{lines}</tbody></table></div>")


def figures(result):
    """The plots of a part."""
    name, seconds, samples = result["part"].name, result["seconds"], result["samples"]
    ends, t = [], 0
    for step in result["steps"][:-1]:
        t += step["seconds"]
        ends.append(t)

    def over(key, scale=1.0):
        return [(one["t"] + 0.5, one[key] * scale) for one in seconds]

    def of_roles(key, scale):
        roles = [role for role in ROLES if any(role in sample["roles"] for sample in samples)]
        return {role: [(sample["t"], sample["roles"][role][key] * scale) for sample in samples[1:]
                       if role in sample["roles"]] for role in roles}

    latencies = {label: over(key, 1e-3) for label, key in PERCENTILES if label in ("P50", "P90", "P99", "P99.9")}
    kinds = [kind for kind in KINDS if any(kind in one["errors"] for one in seconds)]
    failures = {kind: [(one["t"] + 0.5, one["errors"].get(kind, 0)) for one in seconds] for kind in kinds}
    return "".join((
        plots.plot(f"{name}: latency, ms (each second; logarithmic)", latencies, ends, logarithmic=True),
        plots.plot(f"{name}: requests a second", {"planned": over("planned"), "answered": over("answered")}, ends),
        plots.plot(f"{name}: errors a second", failures or {"none": over("failed")}, ends),
        plots.plot(f"{name}: connections of the load", {"open": over("connections"), "busy": over("busy")}, ends),
        plots.plot(f"{name}: processor time, % of one core", of_roles("cpu", 100), ends),
        plots.plot(f"{name}: resident memory, MiB", of_roles("rss", 1 / MIB), ends)))


def html(scenario, results, meta):
    body = [f"<h1>Load test {escape(scenario.name)}: {escape(scenario.what)}</h1>",
            f"<p>{escape(introduction(meta))}</p>", f"<p><code>{escape(meta['command'])}</code></p><ul>"]
    for result in results:
        for text, met in result["verdicts"]:
            kind, word = ("met", "met") if met else ("missed", "not met")
            body.append(f'<li><b class="{kind}">{word}</b>: {escape(text)}</li>')
    body += [f"<li>{escape(note)}</li>" for note in notes(results)]
    body.append("</ul>")
    body += [html_table(*table) for table in tables(scenario, results)]
    for result in results:
        body.append(f"<h2>{escape(result['part'].name)} over time</h2>{figures(result)}")
    return PAGE.format(title=f"Load test {escape(scenario.name)}", style=plots.STYLE, body="\n".join(body))


def write_steps(path, results):
    with open(path, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["part", "step", "rate", "seconds", "body", "planned", "sent", "late", "starved", "answered",
                      "good", "failed", *(key for _, key in PERCENTILES), "mean_us", *KINDS])
        for result in results:
            for i, step in enumerate(result["steps"]):
                out.writerow([result["part"].name, i, *(step[key] for key in (
                    "rate", "seconds", "body", "planned", "sent", "late", "starved", "answered", "good", "failed")),
                    *(step[key] for _, key in PERCENTILES), step["mean_us"],
                    *(step["errors"].get(kind, 0) for kind in KINDS)])


def write_seconds(path, results):
    """Requests by second, and beside them the sample of the processes nearest to its end."""
    with open(path, "w", newline="") as file:
        out = csv.writer(file)
        counts = ("t", "planned", "sent", "late", "starved", "answered", "good", "failed", "connections", "busy")
        used = [f"{role}_{key}" for role in ROLES for key in ("cpu", "rss")]
        out.writerow(["part", *counts, *(key for _, key in PERCENTILES), *KINDS, *used])
        for result in results:
            for one in result["seconds"]:
                roles = min(result["samples"], key=lambda sample, end=one["t"] + 1: abs(sample["t"] - end))["roles"]
                out.writerow([result["part"].name, *(one[key] for key in counts), *(one[key] for _, key in PERCENTILES),
                              *(one["errors"].get(kind, 0) for kind in KINDS),
                              *(f"{roles[role][key]:.4g}" if key == "cpu" and role in roles else
                                roles[role][key] if role in roles else "" for role in ROLES for key in ("cpu", "rss"))])


def write(folder, scenario, results, meta):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.html").write_text(html(scenario, results, meta))
    (folder / "report.md").write_text(markdown(scenario, results, meta))
    (folder / "summary.txt").write_text(summary(scenario, results))
    write_steps(folder / "results.csv", results)
    write_seconds(folder / "seconds.csv", results)


def write_index(folder, met):
    """Of all scenarios, each in a folder of its own below: {name: all that is asked is met}."""
    rows = "".join(f'<tr><td><a href="{name}/report.html">{name}</a></td><td class="{"met" if ok else "missed"}">'
                   f'{"met" if ok else "not met"}</td></tr>' for name, ok in met.items())
    body = ("<h1>Load tests</h1><table><thead><tr><th>scenario</th><th>all asked</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>")
    (folder / "report.html").write_text(PAGE.format(title="Load tests", style=plots.STYLE, body=body))
    lines = [f"- [{name}]({name}/report.md): {'met' if ok else '**not met**'}" for name, ok in met.items()]
    (folder / "report.md").write_text("# Load tests\n\n" + "\n".join(lines) + "\n")
    (folder / "summary.txt").write_text("".join((folder / name / "summary.txt").read_text() + "\n" for name in met))
    rows = [(folder / name / "results.csv").read_text().splitlines() for name in met]
    combined = [f"scenario,{rows[0][0]}"] + [f"{name},{line}" for name, one in zip(met, rows) for line in one[1:]]
    (folder / "results.csv").write_text("\n".join(combined) + "\n")

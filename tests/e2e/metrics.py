"""A strict reader of the Prometheus text format, version 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats)."""
import re

from wire import ask

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*"'
HELP = re.compile(rf"# HELP ({NAME}) (\S.*)")
TYPE = re.compile(rf"# TYPE ({NAME}) (counter|gauge)")
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? ([0-9]+(?:\.[0-9]+)?)")


def parse(text):
    """{(name, labels): value}. Every family is whole: help, type, samples, each sample once, and is named as its type says."""
    assert text.endswith("\n") and "\r" not in text and "\n\n" not in text
    found, families, current, helped = {}, set(), None, None
    for line in text[:-1].split("\n"):
        if match := HELP.fullmatch(line):
            assert helped is None and match[1] not in families, line
            helped = match[1]
        elif match := TYPE.fullmatch(line):
            assert match[1] == helped, f"{line}: help comes before it"
            assert (match[2] == "counter") == match[1].endswith("_total"), line
            current, helped = match[1], None
            families.add(current)
        else:
            match = SAMPLE.fullmatch(line)
            assert match and helped is None, f"no sample: {line!r}"
            assert match[1] == current, f"{line}: not of the family {current}"
            key = match[1], match[2] or ""
            assert key not in found, f"{line}: twice"
            found[key] = float(match[3])
    assert families == {name for name, _ in found}
    return found


class Metrics:
    """What a program's /metrics says, each time it is asked."""

    def __init__(self, program):
        self.admin = program.admin

    def all(self):
        response = ask(self.admin, "GET", "/metrics")
        assert response.status == 200
        assert response.fields.get("content-type") == "text/plain; version=0.0.4; charset=utf-8"
        return parse(response.body.decode())

    def __call__(self, name, labels=""):
        return self.all()[name, labels]

    def limited(self, limit):
        return self("tunnel2_entry_limited_total", f'limit="{limit}"')

    def timeouts(self, what):
        return self("tunnel2_entry_timeouts_total", f'timeout="{what}"')

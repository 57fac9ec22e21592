"""What was measured: for each case and system, a list of rounds, each a dict of figures. None: a round that failed."""
import statistics


class Results:
    def __init__(self):
        self.rounds = {}  # case name -> system -> [dict or None]
        self.facts = {}   # system -> dict of what was found out once
        self.about = {}   # how it was measured

    @classmethod
    def read(cls, data):
        self = cls()
        self.rounds, self.facts, self.about = data["rounds"], data["facts"], data["about"]
        return self

    def data(self):
        return {"about": self.about, "facts": self.facts, "rounds": self.rounds, "medians": self.medians()}

    def add(self, case, system, figures):
        self.rounds.setdefault(case, {}).setdefault(system, []).append(figures)

    def values(self, case, system, figure):
        """Those of all rounds that have it."""
        return [r[figure] for r in self.rounds.get(case, {}).get(system, []) if r and figure in r]

    def median(self, case, system, figure):
        """None: there is none."""
        found = self.values(case, system, figure)
        return statistics.median(found) if found else None

    def spread(self, case, system, figure):
        """(least, median, most)."""
        found = self.values(case, system, figure)
        return (min(found), statistics.median(found), max(found)) if found else None

    def figures(self, case, system):
        """The names of all that was found, in the order of the first round."""
        return list(dict.fromkeys(name for r in self.rounds[case][system] if r for name in r))

    def errors(self, case, system):
        """Requests that failed, and rounds that did."""
        rounds = self.rounds[case][system]
        return sum(r.get("errors", 0) for r in rounds if r), sum(r is None for r in rounds)

    def medians(self):
        return {case: {system: {name: dict(zip(("least", "median", "most"), self.spread(case, system, name)))
                                for name in self.figures(case, system)} for system in systems}
                for case, systems in self.rounds.items()}

    def by_round(self, case, figure, of):
        """of(figures by system) for each round in which every system named by it has the figure: rounds are
        interleaved, so that the machine's moods fall on both sides of a ratio."""
        systems = self.rounds.get(case, {})
        found = []
        for i in range(max((len(rounds) for rounds in systems.values()), default=0)):
            row = {name: rounds[i][figure] for name, rounds in systems.items()
                   if i < len(rounds) and rounds[i] and figure in rounds[i]}
            try:
                found.append(of(row))
            except (KeyError, ZeroDivisionError):
                continue
        return (min(found), statistics.median(found), max(found)) if found else None

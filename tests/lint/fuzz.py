"""fuzz.run.TARGET PROGRAM CORPUS WORK: ten seconds of libFuzzer from the seed corpus; what it finds stays in WORK."""
import os
import sys
from pathlib import Path

SECONDS = os.environ.get("T2_FUZZ_SECONDS", "10")
program, seeds, work = (Path(argument) for argument in sys.argv[1:])
found = work / "corpus"
found.mkdir(parents=True, exist_ok=True)
if not program.exists():
    sys.exit(f"{program} is not there: build the fuzz preset")
if not seeds.is_dir() or not any(seeds.iterdir()):
    sys.exit(f"{seeds} has no seeds")
sys.stdout.flush()
os.execv(program, [str(program), f"-max_total_time={SECONDS}", "-max_len=16384", "-timeout=10", "-rss_limit_mb=1024",
                   "-print_final_stats=1", f"-artifact_prefix={work}/", str(found), str(seeds)])

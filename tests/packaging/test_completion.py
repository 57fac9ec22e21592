"""The completion offers, in a real bash, what each program takes: options, subcommands, values, files."""
import subprocess

import pytest

from shipped import BIN, PROGRAMS, ROOT, help_options, subcommands

SCRIPT = ROOT / "completions/tunnel2.bash"
# What readline does with a line: the function that `complete -p` names gets command, current and previous word.
DRIVER = """
source "$1"; program=$2; cd "$3"; shift 3
COMP_WORDS=("$program" "$@")
COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}
function=$(complete -p "${program##*/}" | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
"$function" "$program" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
[[ ${COMPREPLY[*]} ]] && printf '%s\\n' "${COMPREPLY[@]}"
exit 0
"""


def complete(program, *words, folder="/"):
    """What is offered for the last word."""
    done = subprocess.run(["bash", "--norc", "-c", DRIVER, "bash", SCRIPT, BIN / program, folder, *words],
                          capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    return sorted(done.stdout.split("\n")[:-1])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a file").write_text("")
    (tmp_path / "a folder").mkdir()
    return tmp_path


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_option_of_the_help_is_offered(program):
    assert complete(program, "--") == sorted(f"--{name}" for name, _ in help_options(program))


@pytest.mark.parametrize("program", PROGRAMS)
def test_values_of_an_option(program, folder):
    assert complete(program, "--log-format", "") == ["json", "text"]
    assert complete(program, "--log-level", "w") == ["warn"]
    assert complete(program, "--log-level", "=", "w") == ["warn"]
    assert complete(program, "--log-format", "=") == ["json", "text"]
    assert complete(program, "--state-dir", "", folder=folder) == ["a folder"]
    assert complete(program, "--drain-timeout", "") == []


@pytest.mark.parametrize("program, option", [("tunneld", "--tokens"), ("tunneld", "--cert"), ("proxyentry", "--ca"),
                                             ("proxyentry", "--public-cert"), ("tunnelc", "--token-file")])
def test_files_of_an_option(program, option, folder):
    assert complete(program, option, "", folder=folder) == ["a file", "a folder"]
    assert complete(program, option, "a fi", folder=folder) == ["a file"]


def test_subcommands(folder):
    words = subcommands()
    assert {"http", "files", "tcp", "udp"} <= set(words)
    assert complete("tunnelc", "") == sorted(words)
    assert complete("tunnelc", "t") == sorted(word for word in words if word.startswith("t"))
    assert complete("tunnelc", "--dev", "h") == ["http"]
    assert complete("tunnelc", "--session", "shop", "fi") == ["files"]
    assert complete("tunnelc", "files", "", folder=folder) == ["a folder"]
    assert "--session" in complete("tunnelc", "http", "8000", "--se")


def test_a_program_that_is_not_there_offers_nothing():
    done = subprocess.run(["bash", "--norc", "-c", DRIVER, "bash", SCRIPT, "/nonexistent/tunnelc", "/", "--"],
                          capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

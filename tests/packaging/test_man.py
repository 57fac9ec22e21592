"""The manual pages are well-formed, and have each option that --help has with the same argument, and no other."""
import os
import re
import subprocess

import pytest

from shipped import PROGRAMS, ROOT, help_options, subcommands

PAGES = sorted((ROOT / "man").glob("*.[0-9]"))


def page_options(program):
    text = (ROOT / f"man/{program}.1").read_text()
    return [(name, argument or "") for name, argument in re.findall(r"^\.It Fl -([a-z0-9-]+)(?: Ar (.*))?$", text, re.M)]


def test_each_program_and_file_format_has_a_page():
    assert {page.name for page in PAGES} >= {"tunneld.1", "proxyentry.1", "tunnelc.1", "tunnel2-tokens.5", "tunnel2-state.5"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_is_clean(page):
    lint = subprocess.run(["mandoc", "-Tlint", "-Wstyle", page.name], cwd=page.parent, capture_output=True, text=True,
                          timeout=60)
    assert (lint.stdout + lint.stderr, lint.returncode) == ("", 0)
    said = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page], capture_output=True, text=True,
                          timeout=60, env={**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": ""})
    assert (said.stderr, said.returncode) == ("", 0)


@pytest.mark.parametrize("program", PROGRAMS)
def test_page_has_the_options_of_the_help(program):
    in_help, in_page = help_options(program), page_options(program)
    missing = [f"--{name} {argument}".strip() for name, argument in in_help if (name, argument) not in in_page]
    extra = [f"--{name} {argument}".strip() for name, argument in in_page if (name, argument) not in in_help]
    assert not missing, f"man/{program}.1 has no \".It Fl -NAME Ar ARGUMENT\" for these options of --help: {missing}"
    assert not extra, f"man/{program}.1 has options that --help has not: {extra}"
    assert len(in_page) == len(set(in_page)), "an option is there twice"


def test_page_has_the_subcommands():
    text = (ROOT / "man/tunnelc.1").read_text()
    for name in subcommands():
        assert re.search(rf"^\.Nm\n\.Cm {name}\n", text, re.M), f"man/tunnelc.1: {name} is not in the synopsis"
        assert re.search(rf"^\.It Cm {name}$", text, re.M), f"man/tunnelc.1: {name} is not described"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_references_are_to_pages_there_are(page):
    for name, section in re.findall(r"^\.Xr (\S+) (\d)", page.read_text(), re.M):
        assert (ROOT / f"man/{name}.{section}").exists(), f"{name}({section})"

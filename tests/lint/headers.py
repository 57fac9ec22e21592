"""headers.WHAT: the public headers, as C11, C17 and C++17, by gcc and by clang, without a warning.

headers.alone     each header by itself
headers.together  all of them in one file, in both orders, and the umbrella header, which has them all
headers.program LIBDIR  a program that takes the address of every public function links with the shared library: what
                  is declared is exported, and by its C name where C++ asks for it
"""
import re
import sys
import tempfile
from pathlib import Path

import tree

# _XOPEN_SOURCE is what <uv.h> itself asks of a strict C11 compiler.
C = ("-xc", "-D_XOPEN_SOURCE=700")
MODES = (("c11", (*C, "-std=c11"), "gcc", "clang"), ("c17", (*C, "-std=c17"), "gcc", "clang"),
         ("c++17", ("-xc++", "-std=c++17"), "g++", "clang++"))
WARNINGS = ("-Wall", "-Wextra", "-pedantic", "-Werror")
FUNCTION = re.compile(r"^T2_API [^;]*?\b(t2_\w+)\(", re.M)
problems = []


def configure(template, folder):
    """Writes a header that the build would configure, every @WORD@ as a 0."""
    text = re.sub(r"@\w+@", "0", (tree.ROOT / template).read_text())
    folder.mkdir(exist_ok=True)
    (folder / template.name[:-3]).write_text(text)


def name(header):
    return "/".join(header.parts[1:])


def compile_all(what, text, generated, *more):
    """The text compiles in every mode, or there is a problem."""
    for standard, options, *compilers in MODES:
        for compiler in compilers:
            status, said = tree.run(compiler, *options, *WARNINGS, "-Iinclude", f"-I{generated}", "-", *more, input=text)
            if status:
                problems.append(f"{what} as {standard} by {compiler}:\n{said.rstrip()}")
            yield status


def alone(headers, generated):
    for header in headers:
        text = f"#include <{name(header)}>\nextern int not_empty;\n"
        list(compile_all(header, text, generated, "-fsyntax-only"))


def together(headers, generated):
    for order in (headers, headers[::-1], [*headers, *headers]):
        text = "".join(f"#include <{name(header)}>\n" for header in order)
        list(compile_all("all headers", text + "extern int not_empty;\n", generated, "-fsyntax-only"))
    umbrella = (tree.ROOT / "include/tunnel2/tunnel2.h").read_text()
    for header in headers:
        if f"<{name(header)}>" not in umbrella and header.name not in ("tunnel2.h", "export.h"):
            problems.append(f"tunnel2.h does not include <{name(header)}>")


def program(headers, generated, libdir):
    functions = [found for path in [*headers, Path("include/tunnel2/version.h.in")]
                 for found in FUNCTION.findall((tree.ROOT / path).read_text())]
    lines = "".join(f"  count += (void (*)(void)){function} != 0;\n" for function in functions)
    text = f"#include <stdio.h>\n#include <tunnel2/tunnel2.h>\n\nint main(void) {{\n  int count = 0;\n{lines}" \
           '  printf("%d %s\\n", count, t2_strerror(T2_ERR_NOMEM));\n  return 0;\n}\n'
    binary = Path(generated) / "program"
    more = ("-Wno-address", "-Wno-cast-function-type", "-o", binary, f"-L{libdir}", "-ltunnel2", f"-Wl,-rpath,{libdir}")
    for failed in compile_all("the program", text, generated, *more):
        if failed:
            continue
        status, said = tree.run(binary)
        if status or said != f"{len(functions)} out of memory\n":
            problems.append(f"the program ended with {status} and said: {said}")
    return len(functions)


what = sys.argv[1]
public = tree.files(".h", under=("include",))
with tempfile.TemporaryDirectory() as folder:
    for configured in tree.files(".in", under=("include",)):
        configure(configured, Path(folder) / "tunnel2")
    if what == "program":
        checked = f"{program(public, folder, Path(sys.argv[2]).resolve())} public functions"
    else:
        public.append(Path("include/tunnel2/version.h"))
        {"alone": alone, "together": together}[what](public, folder)
        checked = f"{len(public)} public headers"
tree.end(problems, checked)

"""lint.headers: every public header compiles alone, without a warning, as C11 and as C++17."""
import tempfile
from pathlib import Path

import tree

# _XOPEN_SOURCE is what <uv.h> itself asks of a strict C11 compiler.
MODES = (("cc", "-xc", "-std=c11", "-D_XOPEN_SOURCE=700"), ("c++", "-xc++", "-std=c++17", "-D_GNU_SOURCE"))
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")


def configure(template, folder):
    """Writes a header that the build would configure, every @WORD@ as a 0."""
    words = (tree.ROOT / template).read_text().replace("\n", " \n").split(" ")
    text = " ".join("0" if word.startswith("@") else word for word in words)
    folder.mkdir(exist_ok=True)
    (folder / template.name[:-3]).write_text(text)


headers = tree.files(".h", under=("include",))
problems = []
with tempfile.TemporaryDirectory() as generated:
    for template in tree.files(".in", under=("include",)):
        configure(template, Path(generated) / "tunnel2")
    for header in headers:
        alone = f"#include <{'/'.join(header.parts[1:])}>\nextern int not_empty;\n"
        for compiler, language, standard, define in MODES:
            status, said = tree.run(compiler, language, standard, define, *WARNINGS, "-Iinclude", f"-I{generated}",
                                    "-fsyntax-only", "-", input=alone)
            if status:
                problems.append(f"{header} as {standard[5:]}:\n{said.rstrip()}")
tree.end(problems, f"{len(headers)} public headers")

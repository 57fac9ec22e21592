"""lint.format: every C file is as clang-format would write it (clang-format -i FILE repairs one)."""
import tree

sources = tree.files(".c", ".h")
status, said = tree.run("clang-format", "--dry-run", "-Werror", *sources)
tree.end([said.rstrip()] if status else [], f"format of {len(sources)} files")

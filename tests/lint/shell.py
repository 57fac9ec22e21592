"""lint.shell: shellcheck over every shell script."""
import tree

scripts = [path for path in tree.files(".sh", under=("tests", "examples"))]
scripts += [path.relative_to(tree.ROOT) for path in (*tree.ROOT.glob("completions/*.bash"),
                                                     *tree.ROOT.glob("packaging/debian/*/p*"))]
scripts += [path for path in (tree.Path(".ci/run"),) if (tree.ROOT / path).exists()]
status, said = tree.run("shellcheck", *scripts)
tree.end([said.rstrip()] if status else [], f"shellcheck of {len(scripts)} scripts")

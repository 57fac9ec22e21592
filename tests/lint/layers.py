"""lint.layers: an #include goes only downward, and each library only where it belongs (docs/ARCHITECTURE.md)."""
import re

import tree

LAYERS = ("base", "wire", "http", "net", "proxy", "entry", "client", "control")
ROLES = ("entry", "client", "control")
# Which layers may include which library, by the first path part of its headers.
LIBRARIES = {
    "mbedtls": ("wire", "net"),
    "psa": ("wire", "net"),
    "nghttp2": ("http",),
    "jansson.h": LAYERS[1:],
    "uv.h": LAYERS[3:],
}
SOCKETS = re.compile(r"^(sys/socket|sys/un|netinet/|arpa/|netdb|poll|sys/epoll|sys/select|ifaddrs|net/)")
SANS_IO = ("base", "wire", "http")
INCLUDE = re.compile(r'^\s*#\s*include\s+(<([^>]+)>|"([^"]+)")')
PROGRAM_LINES_MAX = 200

problems = []


def includes(path):
    for number, line in enumerate((tree.ROOT / path).read_text().splitlines(), 1):
        found = INCLUDE.match(line)
        if found:
            yield f"{path}:{number}", found.group(2) or found.group(3), found.group(2) is None


def may_include(layer, other):
    """Lower layers and its own; of the roles, control may stand on entry (tunneld --entry), else they don't meet."""
    if layer in ROLES and other in ROLES and layer != other:
        return (layer, other) == ("control", "entry")
    return LAYERS.index(other) <= LAYERS.index(layer)


def check_library_file(path):
    layer = path.parts[1]
    if layer not in LAYERS:
        problems.append(f"{path}: lib/{layer} is no layer")
        return
    for where, header, quoted in includes(path):
        top = header.split("/")[0]
        if quoted:
            problems.append(f'{where}: write <layer/file.h>, not "{header}"')
        elif top in LAYERS and not may_include(layer, top):
            problems.append(f"{where}: lib/{layer} must not include <{header}>, which is above it")
        elif top in LIBRARIES and layer not in LIBRARIES[top]:
            problems.append(f"{where}: <{header}> is not for lib/{layer}")
        elif layer in SANS_IO and SOCKETS.match(header):
            problems.append(f"{where}: lib/{layer} is sans-I/O: no <{header}>")


def check_public_header(path):
    for where, header, quoted in includes(path):
        top = header.split("/")[0]
        if quoted or top in LAYERS or (top in LIBRARIES and top != "uv.h"):
            problems.append(f"{where}: a public header includes the public API, libc and <uv.h> only")


def check_program_file(path):
    if path.parts[1] == "common":  # what the three share may look behind the public API (logs, the health listener)
        return
    for where, header, quoted in includes(path):
        if header.startswith(".") or header.split("/")[0] in LAYERS:
            problems.append(f"{where}: a program stands on the public API, not on <{header}>")


def check_program_sizes():
    programs = {}
    for path in tree.files(".c", ".h", under=("apps",)):
        lines = len((tree.ROOT / path).read_text().splitlines())
        programs[path.parts[1]] = programs.get(path.parts[1], 0) + lines
    for program, lines in programs.items():
        if program != "common" and lines >= PROGRAM_LINES_MAX:
            problems.append(f"apps/{program}: {lines} lines, {PROGRAM_LINES_MAX - 1} is the most")


def check_mbedtls_versions():
    for path in tree.files(".c", ".h", under=("lib",)):
        if "MBEDTLS_VERSION" in (tree.ROOT / path).read_text() and "mbedtls_compat" not in path.name:
            problems.append(f"{path}: only mbedtls_compat knows which version of mbedTLS there is")


library = tree.files(".c", ".h", under=("lib",))
public = tree.files(".h", under=("include",))
programs = tree.files(".c", ".h", under=("apps",))
for source in library:
    check_library_file(source)
for source in public:
    check_public_header(source)
for source in programs:
    check_program_file(source)
check_program_sizes()
check_mbedtls_versions()
tree.end(problems, f"includes of {len(library) + len(public) + len(programs)} files")

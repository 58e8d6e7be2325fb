"""
usage: ./dev compile-commands

Writes compile_commands.json for clangd and other tools, from Bazel's own actions; builds what is generated first.
"""
import json

import house
from house import ROOT, say


def main():
    house.arguments(__doc__).parse_args()
    house.build(["//..."], "--output_groups=compilation_prerequisites_INTERNAL_")  # what is generated, not the programs
    base = house.output_of("bazel", "info", "output_base").strip()
    graph = json.loads(house.output_of("bazel", "aquery", "--output=jsonproto", 'mnemonic("CppCompile", //...)'))
    entries = {}
    for action in graph.get("actions", []):
        arguments = action["arguments"]
        if any("bazel-out/host/" in a for a in arguments) or "-c" not in arguments:
            continue
        file = arguments[arguments.index("-c") + 1]
        arguments = [f"{base}/{a}" if a.startswith("external/") else a for a in arguments if a != "-fno-canonical-system-headers"]
        entries[file] = {"directory": str(ROOT), "file": file, "arguments": arguments}
    (ROOT / "compile_commands.json").write_text(json.dumps(sorted(entries.values(), key=lambda e: e["file"]), indent=1) + "\n")
    say(f"{len(entries)} files")
    return 0


if __name__ == "__main__":
    house.main(main)

"""
usage: ./dev fmt

Formats the C sources with clang-format-14 (edge-gateway/ keeps nginx's dialect) and writes the generated documents.
"""
import shutil

import house
from house import BIN, ROOT, say


def main():
    house.arguments(__doc__).parse_args()
    house.run("clang-format-14", "-i", *house.tracked("*.c", "*.h"), check=True)
    targets = house.run("bazel", "query", "--noshow_progress", "kind(genrule, //docs:*)", capture_output=True, text=True).stdout.split()
    if targets:
        house.build(targets)
        for file in sorted((BIN / "docs").glob("*.generated.md")):
            shutil.copyfile(file, ROOT / "docs" / file.name.replace(".generated", ""))
    changed = house.output_of("git", "diff", "--name-only").split()
    say("\n".join(f"  {path}" for path in changed) if changed else "nothing to do")
    return 0


if __name__ == "__main__":
    house.main(main)

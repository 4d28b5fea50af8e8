"""`./dev bench [NAME ...]`: runs the named benchmarks, or all, each in a process of its own and prints its figures."""

import pkgutil
import subprocess
import sys

import bench

TOOLS = frozenset({"__main__", "figures", "ground", "load", "replay"})


def main() -> int:
    """Run the benchmarks named on the command line."""
    known = sorted(m.name for m in pkgutil.iter_modules(bench.__path__) if m.name not in TOOLS and not m.ispkg)
    wanted = sys.argv[1:] or known
    if unknown := [name for name in wanted if name not in known]:
        print(f"There is no benchmark {', '.join(unknown)}. There are: {', '.join(known)}.", file=sys.stderr)
        return 2
    return max([subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode for name in wanted])


if __name__ == "__main__":
    sys.exit(main())

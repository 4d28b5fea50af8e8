"""`./dev bench [NAME ...]`: runs the named benchmarks, or all but `soak`, each in a process of its own.

`./dev bench soak MINUTES` soaks; by itself it takes 20 minutes.
"""

import pkgutil
import subprocess
import sys

import bench

TOOLS = frozenset({"__main__", "figures", "ground", "load", "replay"})


def main() -> int:
    """Run the benchmarks named on the command line."""
    known = sorted(m.name for m in pkgutil.iter_modules(bench.__path__) if m.name not in TOOLS and not m.ispkg)
    wanted = sys.argv[1:] or [name for name in known if name != "soak"]
    if wanted[0] == "soak":
        return subprocess.run([sys.executable, "-m", "bench.soak", *wanted[1:]], check=False).returncode
    if unknown := [name for name in wanted if name not in known]:
        print(f"There is no benchmark {', '.join(unknown)}. There are: {', '.join(known)}.", file=sys.stderr)
        return 2
    return max([subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode for name in wanted])


if __name__ == "__main__":
    sys.exit(main())

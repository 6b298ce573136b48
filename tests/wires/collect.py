"""`python -m tests.wires.collect FOLDER FILE`: what each wire's test noted, as one file; fails unless enough agree."""

import json
import sys
from pathlib import Path

WIRES = ("rollout", "http", "mcp-stdio", "mcp-http", "openenv", "verifiers", "trl", "verl", "nemo-gym")
ENOUGH = 6


NEMO_PYTHON = (3, 13, 14)


def nemo_gym() -> str:
    """Why NeMo Gym was not run."""
    if sys.version_info[:3] >= NEMO_PYTHON:
        return "there is no test of it: what is exported for it has only been checked for its form"
    here, wanted = (".".join(map(str, version)) for version in (sys.version_info[:3], NEMO_PYTHON))
    return f"NeMo Gym 0.7 needs Python {wanted} or newer; this one is {here}"


def collected(folder: Path) -> dict[str, dict[str, str]]:
    """Wire -> its reward hash and peer, or why it was not run."""
    found = {}
    for wire in WIRES:
        file = folder / f"{wire}.json"
        if file.exists():
            found[wire] = json.loads(file.read_text())
        elif wire == "nemo-gym":
            found[wire] = {"not_run": nemo_gym()}
        else:
            found[wire] = {"not_run": "its test noted nothing: see what make test-wires printed"}
    return found


def main(folder: Path, file: Path) -> int:
    """Writes the file. 1 if hashes differ, or too few wires were run."""
    found = collected(folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found, indent=2) + "\n")
    hashes = {wire: entry["reward_hash"] for wire, entry in found.items() if "reward_hash" in entry}
    for wire, entry in found.items():
        print(f"{wire:10} {hashes.get(wire, '')[:16] or 'not run: ' + entry['not_run']}")
    agree = len(set(hashes.values())) == 1
    print(f"{len(hashes)} wires were run; {'all agree' if agree else 'THEY DO NOT AGREE'}")
    return 0 if agree and len(hashes) >= ENOUGH else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))

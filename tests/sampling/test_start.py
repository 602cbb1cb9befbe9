"""What a first `facegen sample` waits for, told by what it imports: times depend on what else runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

NOT_NEEDED = {
    "pandas",
    "scipy",
    "matplotlib",
    "transformers",
    "diffusers",
    "torchvision",
    "sklearn",
    "accelerate",
}
PROGRAM = """
import json, sys
sys.argv = ["facegen", "sample", "--prompt", "a smile", "--count", "1", "--out", "faces"]
from facegen.cli.app import main
try:
    main()
finally:
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_sampling_from_the_box_imports_only_what_it_draws_with(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    imported = set(json.loads(done.stdout.splitlines()[-1]))
    assert "torch" in imported
    assert not imported & NOT_NEEDED
    assert len(list((tmp_path / "faces").glob("*.png"))) >= 1

"""Write the tiny ONNX models of these tests: ``make_models.py DIRECTORY [valid|invalid]``.

Every function of the `*_models` is one file, DIRECTORY/NAME.onnx.
"""

from __future__ import annotations

import sys
from pathlib import Path

import invalid_models  # noqa: F401 (fills CASES)
import optional_models  # noqa: F401
import valid_models  # noqa: F401
from models import CASES


def main() -> None:
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for kind in sys.argv[2:] or CASES:
        for name, case in CASES[kind].items():
            model = case()
            content = model if isinstance(model, bytes) else model.SerializeToString()
            (directory / f"{name}.onnx").write_bytes(content)


if __name__ == "__main__":
    main()

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.tiny_text_encoder import tiny_text_encoder  # noqa: F401

"""facegen: from a folder of faces to a trained, sampled and honestly judged conditional generator.

What `from facegen import ...` offers stands in `__init__.pyi`; each name is loaded when it is first used.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

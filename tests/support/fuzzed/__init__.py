"""Every reader of files and words, to be given what nobody would write (`benchmarks/fuzz.py`)."""

from support.fuzzed import sources, stored, words
from support.fuzzed.reader import Reader

READERS: dict[str, Reader] = {
    reader.name: reader for reader in (*sources.READERS, *words.READERS, *stored.READERS)
}

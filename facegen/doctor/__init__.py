"""`facegen doctor`: this computer goes in, what is wrong with it and how to mend that comes out (`examine`).

It has to work where nothing else does: torch and the libraries that stand on it are tried in a process of
their own (`probe`), and no file here but that one imports more than Python, packaging and what stands below.
"""

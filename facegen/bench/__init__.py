"""How fast facegen is here: beside what others do and beside what the machine can do.

`run.bench` takes the name of a stage or "all", and gives a `result.BenchResult`. A stage is a file in
`stages/` that offers `measure`; each runs in a process of its own, which `child` is. `targets` says what is
aimed at.
"""

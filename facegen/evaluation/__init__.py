"""Faces (of a run, a folder or a data set) and real ones come in, a report with scores and what it takes to
read them goes out; one file a question, such as `distribution.evaluate`."""

"""A source of faces (an archive, a folder, a hub's repository, nothing for rendered ones) comes in, a data
set goes out: `prepare.prepare`. `label.label` gives a data set the labels that a trained classifier
sees."""

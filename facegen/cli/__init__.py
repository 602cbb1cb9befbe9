"""Words of the command line come in, tables and JSON go out; `app` knows the commands, each of which has a
file here."""

"""What runs there are and what of them, and of the cache, can go (`list_runs`, `clean`).

In: a folder. Out: a `Listing`, or what can be made again, by kind. Only heads and names are read, so that a
folder of runs answers at once; nothing here loads torch.
"""

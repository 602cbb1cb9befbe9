"""In: a run or a data set. Out: a repository on the hub with its card, and the folder again from there.

`push.push` sends, `pull.pull` fetches. What goes is a `package.Package` that `secrets.check_clean` has read.
"""

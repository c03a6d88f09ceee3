"""What differs between the tasks in task_script.py, a module each.

A module has `Images(folder)`, a torch Dataset with the `collate` that its batches are made by, and
`Training(steps)`, whose `step(batch)` learns from this rank's part of a batch and gives its mean
loss. Numbers are those of the spec of the same name beside task_script.py.
"""

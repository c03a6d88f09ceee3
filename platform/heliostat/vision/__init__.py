"""What a job learns: tasks and models, in plain torch.

`task` says what a task is, `tasks` and `models` find them by name, `classification` is the
built-in task, `normalize` makes the module that takes raw images, `export` frees it of its source.
"""

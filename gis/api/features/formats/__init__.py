"""The representations of features; each module turns rows of one page into bytes."""

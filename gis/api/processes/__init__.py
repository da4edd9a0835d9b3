"""OGC API Processes, part 1: the process ``check``, and jobs.

Our own, not pygeoapi's: its process documents are a translated copy of a dictionary that we would have to
write anyway, with links to be thrown away; it runs jobs in threads of the web process, forgets them at a
restart, answers mistakes in a shape of its own, ignores unknown inputs and has no schema check of them.

``description`` what the process takes · ``inputs`` reads an execute request · ``execute`` queues its job, and
waits for small ones · ``jobs`` status, list, results, dismissal · ``store`` the database side.
"""

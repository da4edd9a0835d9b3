"""Jobs: work that outlives a request, kept in the database and run beside the web processes.

::

    web process --job_submit()--> bandoso.job <--claim-- runner --starts--> child: one process of one job
                                   ^ NOTIFY  ^--heartbeat, progress--'        '--result, in one transaction

- ``supervise``: ``bandoso serve`` starts a runner and starts it again when it ends.
- ``runner``: a small process (a connection and a select loop) that claims jobs, starts a child for each,
  passes its progress on, and kills it when the job is dismissed, lost or over its time.
- ``child``: imports what the job needs, runs it, stores the result and says that the job is done.
- ``queue``: the SQL of runners. Several runners on several machines share one database.

A job that is run is fenced by its attempt: a run whose job was given to another runner, or dismissed,
can no longer change it.
"""

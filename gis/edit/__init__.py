"""Changes of features: validated, authorised by the database, judged by the checks, all or nothing."""

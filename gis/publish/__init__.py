"""What was and what changed: versions, history, feed."""

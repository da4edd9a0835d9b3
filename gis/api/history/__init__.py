"""What was: versions of a feature, differences between two times, undoing a changeset."""

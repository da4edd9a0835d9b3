"""Findings as people work through them: counted by what they are, explained, accepted with a reason."""

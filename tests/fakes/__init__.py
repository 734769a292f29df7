"""In-memory doubles that pass the same contract tests as the real ones."""
